/* Calls firmware/tflm/tflm_kernels.cc as an interpreter would, over the stand-in for TFLM: prints
   results, and "stock" where TFLM's own function is called. */
#include <cstdio>
#include <cstdlib>

#include "tensorflow/lite/micro/kernels/conv.h"
#include "tensorflow/lite/micro/kernels/fully_connected.h"
#include "tensorflow/lite/micro/kernels/logistic.h"
#include "tensorflow/lite/micro/kernels/softmax.h"
#include "tflm_kernels.h"

namespace {

struct TflmKept { /* what the stand-in of TFLM's functions keeps */
  tflite::OpDataLogistic data;
};

TfLiteStatus Prepare(TfLiteContext *, TfLiteNode *node) {
  static TflmKept kept;
  if (!node->user_data) node->user_data = &kept;
  static_cast<TflmKept *>(node->user_data)->data = {0, 1, 2, 3};
  return kTfLiteOk;
}

TfLiteStatus Invoke(TfLiteContext *, TfLiteNode *node) {
  bool is_kept = static_cast<TflmKept *>(node->user_data)->data.input_left_shift == 3;
  std::printf("stock %d\n", is_kept);
  return kTfLiteOk;
}

const TFLMRegistration STOCK = {nullptr, Prepare, Invoke};

/* Multipliers of 1: 2^30 / 2^31, after a shift by 1. */
int32_t multipliers[2] = {1 << 30, 1 << 30}, shifts[2] = {1, 1};
tflite::OpDataFullyConnected connected = {-128, 127, 1, 0, 3, multipliers, shifts, true};
tflite::SoftmaxParams scores = {1 << 30, 20, -2};
tflite::OpDataConv convolution = {multipliers, shifts, -9, 99};

void *KeptOfConnected(TfLiteContext *, const char *, size_t) { return &connected; }
void *KeptOfConvolution(TfLiteContext *, const char *, size_t) { return &convolution; }
void *KeptOfSoftmax(TfLiteContext *, const char *, size_t) { return &scores; }
TfLiteStatus Nothing(TfLiteContext *, TfLiteNode *) { return kTfLiteOk; }
TfLiteStatus Say(TfLiteContext *, TfLiteNode *) { return std::puts("stock"), kTfLiteOk; }
const TFLMRegistration CONNECTED = {KeptOfConnected, Nothing, Say};
const TFLMRegistration SOFTMAX = {KeptOfSoftmax, Nothing, Say};
const TFLMRegistration CONVOLUTION = {KeptOfConvolution, Nothing, Say};
int taken = 0;

void *Take(TfLiteContext *, size_t bytes) {
  taken++;
  return std::calloc(1, bytes);
}

TfLiteIntArray shapes[3];
TfLiteEvalTensor tensors[3];
TfLiteContext context = {Take, tensors};
TfLiteIntArray one_input = {1, {0}}, two_inputs = {2, {0, 1}}, output = {1, {2}};

void Put(int at, TfLiteType type, void *data, int rows, int columns) {
  shapes[at] = {2, {rows, columns}};
  tensors[at] = {data, &shapes[at], type};
}

void PutImage(int at, TfLiteType type, void *data, int batch, int height, int width, int channels) {
  shapes[at] = {4, {batch, height, width, channels}};
  tensors[at] = {data, &shapes[at], type};
}

template <typename Value>
void Run(const TFLMRegistration *op, TfLiteIntArray *inputs, const Value *result, int count) {
  TfLiteNode node = {inputs, &output, op->init(&context, nullptr, 0)};
  if (op->prepare(&context, &node) != kTfLiteOk || op->invoke(&context, &node) != kTfLiteOk)
    std::printf("failed\n");
  for (int i = 0; i < count; i++) std::printf("%d%c", result[i], i + 1 < count ? ' ' : '\n');
}

}  // namespace

/* x - 1, times a filter, + 3; of floats it is TFLM's */
void RunConnected() {
  int8_t x[4] = {1, 2, 3, 4}, filter[4] = {1, 0, 0, 2}, y[4];
  const TFLMRegistration *op = ReplaceBuiltin(tflite::BuiltinOperator_FULLY_CONNECTED, &CONNECTED);
  Put(0, kTfLiteInt8, x, 2, 2);
  Put(1, kTfLiteInt8, filter, 2, 2);
  Put(2, kTfLiteInt8, y, 2, 2);
  Run(op, &two_inputs, y, 4);
  tensors[0].type = kTfLiteFloat32;
  Run(op, &two_inputs, y, 0);
}

/* Two rows of an image, cut to [-9, 99]; an image of other size is TFLM's. */
void RunConvolution() {
  int16_t x[4] = {1, -20, 300, 4}, y[4];
  int8_t filter[4] = {1, 0, 0, 2};
  const TFLMRegistration *op = ReplaceBuiltin(tflite::BuiltinOperator_CONV_2D, &CONVOLUTION);
  PutImage(0, kTfLiteInt16, x, 1, 1, 2, 2);
  PutImage(1, kTfLiteInt8, filter, 2, 1, 1, 2);
  PutImage(2, kTfLiteInt16, y, 1, 1, 2, 2);
  Run(op, &two_inputs, y, 4);
  PutImage(2, kTfLiteInt16, y, 1, 1, 1, 2);
  Run(op, &two_inputs, y, 0);
}

/* The least difference is 2: a third of a row counts as 0. Results of int16 are TFLM's, and so is a row
   whose sum has no room. */
void RunSoftmax() {
  int8_t x[6] = {5, 4, 2, 7, 7, 7}, many[2048] = {}, y[2048];
  const TFLMRegistration *op = ReplaceBuiltin(tflite::BuiltinOperator_SOFTMAX, &SOFTMAX);
  Put(0, kTfLiteInt8, x, 2, 3);
  Put(2, kTfLiteInt8, y, 2, 3);
  Run(op, &one_input, y, 6);
  tensors[2].type = kTfLiteInt16;
  Run(op, &one_input, y, 0);
  Put(0, kTfLiteInt8, many, 1, 2048);
  Put(2, kTfLiteInt8, y, 1, 2048);
  Run(op, &one_input, y, 0);
}

int main() {
  int8_t x[6] = {-128, -3, 0, 1, 64, 127}, y[6] = {};
  const TFLMRegistration *logistic = ReplaceBuiltin(tflite::BuiltinOperator_LOGISTIC, &STOCK);
  for (int i = 0; i < 2; i++) { /* the second time the table is there */
    Put(0, kTfLiteInt8, x, 2, 3);
    Put(2, kTfLiteInt8, y, 2, 3);
    taken = 0;
    Run(logistic, &one_input, y, 6);
    std::printf("taken %d\n", taken);
  }
  Put(0, kTfLiteFloat32, x, 1, 1);
  Run(logistic, &one_input, y, 0);

  uint8_t tables[16 + 32] = {0, 1, 0, 0, 1, 4, 16}, codes[3] = {0x01, 0x2f, 0xe0};
  int8_t filter[6] = {};
  for (int i = 0; i < 32; i++) tables[16 + i] = static_cast<uint8_t>(i < 16 ? i - 8 : 100 - i);
  const TFLMRegistration *decode = ReplaceCustom(&STOCK);
  Put(0, kTfLiteInt8, codes, 1, 3);
  Put(1, kTfLiteInt8, tables, 1, 48);
  Put(2, kTfLiteInt8, filter, 2, 3);
  Run(decode, &two_inputs, filter, 6);
  tables[5] = 3; /* bits of a code that are not ours */
  Run(decode, &two_inputs, filter, 0);
  RunConnected();
  RunConvolution();
  RunSoftmax();
  std::printf("%d\n", ReplaceCustom(nullptr) == nullptr);
}
