#ifndef FAKE_KERNEL_UTIL_H
#define FAKE_KERNEL_UTIL_H

#include "tensorflow/lite/micro/micro_interpreter.h"

namespace tflite {
namespace micro {

inline TfLiteEvalTensor *GetEvalInput(TfLiteContext *context, const TfLiteNode *node, int i) {
  return &context->tensors[node->inputs->data[i]];
}

inline TfLiteEvalTensor *GetEvalOutput(TfLiteContext *context, const TfLiteNode *node, int i) {
  return &context->tensors[node->outputs->data[i]];
}

template <typename T>
T *GetTensorData(TfLiteEvalTensor *tensor) {
  return static_cast<T *>(tensor->data);
}

template <typename T>
const T *GetTensorData(const TfLiteEvalTensor *tensor) {
  return static_cast<const T *>(tensor->data);
}

}  // namespace micro
}  // namespace tflite

#endif
