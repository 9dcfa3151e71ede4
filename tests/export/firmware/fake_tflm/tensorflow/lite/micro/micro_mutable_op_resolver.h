#ifndef FAKE_RESOLVER_H
#define FAKE_RESOLVER_H

#include "tensorflow/lite/micro/micro_interpreter.h"

namespace tflite {

template <unsigned>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  const TFLMRegistration *FindOp(BuiltinOperator) const override { return nullptr; }
  const TFLMRegistration *FindOp(const char *) const override { return nullptr; }
  TfLiteStatus AddAdd() { return kTfLiteOk; }
  /* a library that lacks it; volatile, or the compiler would see that nothing else can run */
  TfLiteStatus AddMul() {
    volatile bool lacks = true;
    return lacks ? kTfLiteError : kTfLiteOk;
  }
};

}  // namespace tflite

#endif
