/* This firmware's kernels as TFLM calls them; see tflm_kernels.h. */
#include "tflm_kernels.h"

#include "../kernels.h"
#include "../products.h"
#include "tensorflow/lite/kernels/internal/reference/integer_ops/logistic.h"
#include "tensorflow/lite/micro/kernels/conv.h"
#include "tensorflow/lite/micro/kernels/fully_connected.h"
#include "tensorflow/lite/micro/kernels/kernel_util.h"
#include "tensorflow/lite/micro/kernels/logistic.h"
#include "tensorflow/lite/micro/kernels/softmax.h"

namespace {

/* TFLM's registration, and ours in its place. */
struct Replaced {
  TFLMRegistration stock, ours;

  /* Only functions differ: names and numbers stay TFLM's. */
  const TFLMRegistration *Take(const TFLMRegistration &of, decltype(ours.init) init,
                               decltype(ours.prepare) prepare, decltype(ours.invoke) invoke) {
    stock = ours = of;
    ours.init = init;
    ours.prepare = prepare;
    ours.invoke = invoke;
    return &ours;
  }
};

Replaced logistic, softmax, decode, convolution, connected;

const uint8_t *Bytes(const TfLiteEvalTensor *tensor) {
  return tflite::micro::GetTensorData<uint8_t>(tensor);
}

uint8_t *Bytes(TfLiteEvalTensor *tensor) { return tflite::micro::GetTensorData<uint8_t>(tensor); }

uint32_t CountOf(const TfLiteEvalTensor *tensor) {
  uint32_t count = 1;
  for (int i = 0; i < tensor->dims->size; i++) count *= static_cast<uint32_t>(tensor->dims->data[i]);
  return count;
}

void *Take(TfLiteContext *context, size_t bytes) {
  return context->AllocatePersistentBuffer(context, bytes);
}

/* ---- LOGISTIC */

/* All results of int8. Operators of equal scales share one; there are a few in a network. */
struct Table {
  tflite::OpDataLogistic of;
  Table *next;
  uint8_t values[256]; /* by the input as an unsigned byte */
};

Table *tables = nullptr;

/* TFLM's own functions find what they allocate at the beginning. */
struct Logistic {
  tflite::OpDataLogistic stock;
  const Table *table;
};

bool IsSame(const tflite::OpDataLogistic &a, const tflite::OpDataLogistic &b) {
  return a.input_zero_point == b.input_zero_point && a.input_range_radius == b.input_range_radius &&
         a.input_multiplier == b.input_multiplier && a.input_left_shift == b.input_left_shift;
}

const Table *TableOf(TfLiteContext *context, const tflite::OpDataLogistic &data) {
  for (const Table *table = tables; table; table = table->next)
    if (IsSame(table->of, data)) return table;
  Table *table = static_cast<Table *>(Take(context, sizeof(Table)));
  if (!table) return nullptr;
  table->of = data;
  for (int i = 0; i < 256; i++) {
    int8_t x = static_cast<int8_t>(i), y;
    tflite::reference_integer_ops::Logistic(data.input_zero_point, data.input_range_radius,
                                            data.input_multiplier, data.input_left_shift, 1, &x, &y);
    table->values[i] = static_cast<uint8_t>(y);
  }
  table->next = tables;
  return tables = table;
}

void *InitLogistic(TfLiteContext *context, const char *, size_t) {
  return Take(context, sizeof(Logistic));
}

/* Samples of the sigmoid, once for all operators of int16. */
uint32_t *samples = nullptr;

bool TakeSamples(TfLiteContext *context) {
  if (samples) return true;
  samples = static_cast<uint32_t *>(Take(context, TRM_SIGMOID_ENTRIES * sizeof *samples));
  if (samples) trm_pack_sigmoid(tflite::sigmoid_table_uint16, samples);
  return samples != nullptr;
}

trm_sigmoid SigmoidOf(const tflite::OpDataLogistic &data) {
  bool is_power_of_two = data.input_multiplier == 0;
  return trm_sigmoid{samples,
                     is_power_of_two ? 3 << data.input_left_shift : data.input_multiplier,
                     is_power_of_two ? 0 : data.input_left_shift};
}

TfLiteStatus PrepareLogistic(TfLiteContext *context, TfLiteNode *node) {
  if (logistic.stock.prepare(context, node) != kTfLiteOk) return kTfLiteError;
  Logistic *data = static_cast<Logistic *>(node->user_data);
  TfLiteType type = tflite::micro::GetEvalInput(context, node, 0)->type;
  data->table = type == kTfLiteInt8 ? TableOf(context, data->stock) : nullptr;
  bool is_taken = type == kTfLiteInt8    ? data->table != nullptr
                  : type == kTfLiteInt16 ? TakeSamples(context)
                                         : true;
  return is_taken ? kTfLiteOk : kTfLiteError;
}

TfLiteStatus InvokeLogistic(TfLiteContext *context, TfLiteNode *node) {
  const TfLiteEvalTensor *x = tflite::micro::GetEvalInput(context, node, 0);
  TfLiteEvalTensor *y = tflite::micro::GetEvalOutput(context, node, 0);
  const Logistic *data = static_cast<const Logistic *>(node->user_data);
  if (data->table) {
    trm_look_up(data->table->values, Bytes(x), Bytes(y), CountOf(x));
    return kTfLiteOk;
  }
  if (x->type != kTfLiteInt16) return logistic.stock.invoke(context, node);
  trm_sigmoid sigmoid = SigmoidOf(data->stock);
  trm_logistic_s16(&sigmoid, tflite::micro::GetTensorData<int16_t>(x),
                   tflite::micro::GetTensorData<int16_t>(y), CountOf(x));
  return kTfLiteOk;
}

/* ---- SOFTMAX */

/* Exponentials of all differences from the largest, for one scale of scores. */
struct Scores {
  int32_t multiplier, shift, least;
};

struct Exponentials {
  Scores of;
  Exponentials *next;
  int32_t values[256]; /* by the difference below 0 */
};

Exponentials *exponentials = nullptr;

/* As TFLM computes one of them; what is below its least difference counts as 0. */
int32_t ExponentialOf(const Scores &of, int difference) {
  if (difference < of.least) return 0;
  int32_t shifted = difference * (1 << of.shift);
  int32_t scaled = gemmlowp::SaturatingRoundingDoublingHighMul(shifted, of.multiplier);
  return gemmlowp::exp_on_negative_values(gemmlowp::FixedPoint<int32_t, 5>::FromRaw(scaled)).raw();
}

const Exponentials *ExponentialsOf(TfLiteContext *context, const Scores &of) {
  for (const Exponentials *e = exponentials; e; e = e->next)
    if (e->of.multiplier == of.multiplier && e->of.shift == of.shift && e->of.least == of.least)
      return e;
  Exponentials *e = static_cast<Exponentials *>(Take(context, sizeof(Exponentials)));
  if (!e) return nullptr;
  e->of = of;
  for (int i = 0; i < 256; i++) e->values[i] = ExponentialOf(of, -i);
  e->next = exponentials;
  return exponentials = e;
}

/* TFLM's functions keep their parameters at the beginning. */
Scores ScoresOf(const TfLiteNode *node) {
  const auto *p = static_cast<const tflite::SoftmaxParams *>(node->user_data);
  return Scores{p->input_multiplier, p->input_left_shift, p->diff_min};
}

bool IsSoftmaxOfBytes(TfLiteContext *context, TfLiteNode *node) {
  return tflite::micro::GetEvalInput(context, node, 0)->type == kTfLiteInt8 &&
         tflite::micro::GetEvalOutput(context, node, 0)->type == kTfLiteInt8;
}

TfLiteStatus PrepareSoftmax(TfLiteContext *context, TfLiteNode *node) {
  if (softmax.stock.prepare(context, node) != kTfLiteOk) return kTfLiteError;
  if (!IsSoftmaxOfBytes(context, node)) return kTfLiteOk;
  return ExponentialsOf(context, ScoresOf(node)) ? kTfLiteOk : kTfLiteError;
}

/* Returns false where the sum is beyond what TFLM's arithmetic has: more than 511 alike. */
bool SoftmaxOfRow(const int32_t *values, const int8_t *x, int8_t *y, uint32_t count) {
  trm_softmax_row row = trm_softmax_sum(values, x, count);
  int headroom = row.sum > 0 ? __builtin_clz(static_cast<uint32_t>(row.sum)) : 32;
  int places = 12 - headroom + 23;
  if (headroom > 31 || places > 31) return false;
  uint32_t fraction = (static_cast<uint32_t>(row.sum) << headroom) - (1u << 31);
  using Q0 = gemmlowp::FixedPoint<int32_t, 0>;
  Q0 scale = gemmlowp::one_over_one_plus_x_for_x_in_0_1(Q0::FromRaw(static_cast<int32_t>(fraction)));
  trm_softmax_scale by = {row.largest, scale.raw(), places};
  trm_softmax_write(values, &by, x, y, count);
  return true;
}

TfLiteStatus InvokeSoftmax(TfLiteContext *context, TfLiteNode *node) {
  if (!IsSoftmaxOfBytes(context, node)) return softmax.stock.invoke(context, node);
  const TfLiteEvalTensor *in = tflite::micro::GetEvalInput(context, node, 0);
  TfLiteEvalTensor *out = tflite::micro::GetEvalOutput(context, node, 0);
  const int8_t *x = tflite::micro::GetTensorData<int8_t>(in);
  int8_t *y = tflite::micro::GetTensorData<int8_t>(out);
  const Exponentials *found = ExponentialsOf(context, ScoresOf(node));
  uint32_t width = static_cast<uint32_t>(in->dims->data[in->dims->size - 1]);
  for (uint32_t at = 0, count = CountOf(in); at < count; at += width)
    if (!SoftmaxOfRow(found->values, x + at, y + at, width))
      return softmax.stock.invoke(context, node);
  return kTfLiteOk;
}

/* ---- DECODE */

enum { kHeaderBytes = 16, kTypeAt = 0, kVersionAt = 1, kBitsAt = 5, kEntriesAt = 6 };

struct Decoder {
  void *stock;       /* what TFLM's functions keep */
  uint32_t channels; /* 0: TFLM's functions decode */
};

/* The outputs of a filter, each with a table of its own; 0 if it is stored in another way. */
uint32_t ChannelsOf(TfLiteContext *context, TfLiteNode *node) {
  if (node->inputs->size != 2 || node->outputs->size != 1) return 0;
  const TfLiteEvalTensor *tables_of = tflite::micro::GetEvalInput(context, node, 1);
  const TfLiteEvalTensor *filter = tflite::micro::GetEvalOutput(context, node, 0);
  const uint8_t *header = Bytes(tables_of);
  uint32_t channels = static_cast<uint32_t>(filter->dims->data[0]);
  bool is_ours = header && header[kTypeAt] == 0 && header[kVersionAt] == 1 && header[kBitsAt] == 4 &&
                 header[kEntriesAt] == TRM_TABLE_ENTRIES && filter->type == kTfLiteInt8 &&
                 CountOf(tables_of) == kHeaderBytes + channels * TRM_TABLE_ENTRIES;
  return is_ours ? channels : 0;
}

/* Call one of TFLM's functions with what they keep. */
template <typename Function>
TfLiteStatus AsStock(Function function, TfLiteContext *context, TfLiteNode *node) {
  Decoder *data = static_cast<Decoder *>(node->user_data);
  node->user_data = data->stock;
  TfLiteStatus status = function(context, node);
  data->stock = node->user_data;
  node->user_data = data;
  return status;
}

void *InitDecode(TfLiteContext *context, const char *, size_t) {
  return Take(context, sizeof(Decoder));
}

TfLiteStatus PrepareDecode(TfLiteContext *context, TfLiteNode *node) {
  Decoder *data = static_cast<Decoder *>(node->user_data);
  *data = Decoder{nullptr, ChannelsOf(context, node)};
  return data->channels ? kTfLiteOk : AsStock(decode.stock.prepare, context, node);
}

TfLiteStatus InvokeDecode(TfLiteContext *context, TfLiteNode *node) {
  const Decoder *data = static_cast<const Decoder *>(node->user_data);
  if (!data->channels) return AsStock(decode.stock.invoke, context, node);
  const uint8_t *codes = Bytes(tflite::micro::GetEvalInput(context, node, 0));
  const uint8_t *table = Bytes(tflite::micro::GetEvalInput(context, node, 1)) + kHeaderBytes;
  TfLiteEvalTensor *filter = tflite::micro::GetEvalOutput(context, node, 0);
  uint8_t *values = Bytes(filter);
  uint32_t count = CountOf(filter) / data->channels;
  for (uint32_t i = 0; i < data->channels; i++, table += TRM_TABLE_ENTRIES, values += count)
    trm_decode_channel(codes, i * count, count, table, values);
  return kTfLiteOk;
}

/* ---- CONV_2D and FULLY_CONNECTED */

/* What both have: inputs, and the types that are ours. */
struct Product {
  const TfLiteEvalTensor *x, *filter, *bias;
  TfLiteEvalTensor *y;

  Product(TfLiteContext *context, TfLiteNode *node)
      : x(tflite::micro::GetEvalInput(context, node, 0)),
        filter(tflite::micro::GetEvalInput(context, node, 1)),
        bias(node->inputs->size == 3 ? tflite::micro::GetEvalInput(context, node, 2) : nullptr),
        y(tflite::micro::GetEvalOutput(context, node, 0)) {}

  bool Is(TfLiteType type) const {
    return x->type == type && y->type == type && filter->type == kTfLiteInt8 &&
           (!bias || bias->type == kTfLiteInt32);
  }

  /* Rows of a filter of `outputs` rows; scales and ranges are the caller's. */
  trm_product Sizes(const int32_t *multipliers, const int32_t *shifts) const {
    uint32_t outputs = static_cast<uint32_t>(filter->dims->data[0]);
    uint32_t inputs = CountOf(filter) / outputs;
    trm_product product = {};
    product.filter = tflite::micro::GetTensorData<int8_t>(filter);
    product.bias = bias ? tflite::micro::GetTensorData<int32_t>(bias) : nullptr;
    product.multipliers = multipliers;
    product.shifts = shifts;
    product.rows = CountOf(x) / inputs;
    product.inputs = inputs;
    product.outputs = outputs;
    return product;
  }
};

/* A filter of 1x1 that has as many results as inputs: a product of rows, as packages have it. */
bool IsOfRows(const Product &p) {
  const int *in = p.x->dims->data, *of = p.filter->dims->data, *out = p.y->dims->data;
  return p.x->dims->size == 4 && p.filter->dims->size == 4 && of[1] == 1 && of[2] == 1 &&
         of[3] == in[3] && in[0] == out[0] && in[1] == out[1] && in[2] == out[2];
}

/* What TFLM's functions keep: its own kernels and CMSIS-NN's have these at the beginning. */
TfLiteStatus InvokeConvolution(TfLiteContext *context, TfLiteNode *node) {
  Product p(context, node);
  if (!p.Is(kTfLiteInt16) || !IsOfRows(p)) return convolution.stock.invoke(context, node);
  const auto *data = static_cast<const tflite::OpDataConv *>(node->user_data);
  trm_product product =
      p.Sizes(data->per_channel_output_multiplier, data->per_channel_output_shift);
  product.least = data->output_activation_min;
  product.most = data->output_activation_max;
  trm_multiply_s16(&product, tflite::micro::GetTensorData<int16_t>(p.x),
                   tflite::micro::GetTensorData<int16_t>(p.y));
  return kTfLiteOk;
}

TfLiteStatus InvokeConnected(TfLiteContext *context, TfLiteNode *node) {
  Product p(context, node);
  const auto *data = static_cast<const tflite::OpDataFullyConnected *>(node->user_data);
  if (!p.Is(kTfLiteInt8) || !data->is_per_channel || data->filter_zero_point)
    return connected.stock.invoke(context, node);
  trm_product product =
      p.Sizes(data->per_channel_output_multiplier, data->per_channel_output_shift);
  product.x_zero = data->input_zero_point;
  product.y_zero = data->output_zero_point;
  product.least = data->output_activation_min;
  product.most = data->output_activation_max;
  trm_multiply_s8(&product, tflite::micro::GetTensorData<int8_t>(p.x),
                  tflite::micro::GetTensorData<int8_t>(p.y));
  return kTfLiteOk;
}

}  // namespace

const TFLMRegistration *ReplaceBuiltin(tflite::BuiltinOperator op, const TFLMRegistration *stock) {
  if (!stock) return nullptr;
  if (op == tflite::BuiltinOperator_LOGISTIC)
    return logistic.Take(*stock, InitLogistic, PrepareLogistic, InvokeLogistic);
  if (op == tflite::BuiltinOperator_SOFTMAX)
    return softmax.Take(*stock, stock->init, PrepareSoftmax, InvokeSoftmax);
  if (op == tflite::BuiltinOperator_CONV_2D)
    return convolution.Take(*stock, stock->init, stock->prepare, InvokeConvolution);
  if (op == tflite::BuiltinOperator_FULLY_CONNECTED)
    return connected.Take(*stock, stock->init, stock->prepare, InvokeConnected);
  return stock;
}

const TFLMRegistration *ReplaceCustom(const TFLMRegistration *stock) {
  return stock ? decode.Take(*stock, InitDecode, PrepareDecode, InvokeDecode) : nullptr;
}
