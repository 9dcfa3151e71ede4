/* As much of TFLM's interface as firmware/tflm uses, over graphs of one addition, for tests.

   The adapter is thus compiled and run where no TFLM is. A "model" is 12 bytes:

     0 version   1 role: 0 update, 1 head   2 positions   3 emb   4 seq   5 vocab
     6 1: output z has another scale        7 unused      8 u32 bytes of arena that it needs

   update: z <- z + injection, wrapping; head: logits[t][v] = z[t][v mod emb], q = (z[0], z[1]).
   States are int8 of four axes. */
#ifndef FAKE_TFLM_H
#define FAKE_TFLM_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "tensorflow/lite/micro/micro_profiler_interface.h"

#define TFLITE_SCHEMA_VERSION 3

typedef enum { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;
typedef enum { kTfLiteFloat32 = 1, kTfLiteInt32 = 2, kTfLiteInt16 = 7, kTfLiteInt8 = 9 } TfLiteType;
struct TfLiteIntArray {
  int size, data[4];
};
struct TfLiteTensor {
  TfLiteType type;
  TfLiteIntArray *dims;
  size_t bytes;
  union {
    void *raw;
    float *f;
    int8_t *int8;
    int16_t *i16;
  } data;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  TfLiteIntArray shape;
};

struct TfLiteEvalTensor {
  void *data;
  TfLiteIntArray *dims;
  TfLiteType type;
};
struct TfLiteContext {
  void *(*AllocatePersistentBuffer)(TfLiteContext *context, size_t bytes);
  TfLiteEvalTensor *tensors;
};
struct TfLiteNode {
  TfLiteIntArray *inputs, *outputs;
  void *user_data;
};
struct TFLMRegistration {
  void *(*init)(TfLiteContext *context, const char *buffer, size_t length);
  TfLiteStatus (*prepare)(TfLiteContext *context, TfLiteNode *node);
  TfLiteStatus (*invoke)(TfLiteContext *context, TfLiteNode *node);
};

namespace tflite {

struct Model {
  uint8_t bytes[8];
  uint32_t need;
  int version() const { return bytes[0]; }
};

inline const Model *GetModel(const void *bytes) { return static_cast<const Model *>(bytes); }

enum BuiltinOperator {
  BuiltinOperator_ADD,
  BuiltinOperator_CONV_2D,
  BuiltinOperator_FULLY_CONNECTED,
  BuiltinOperator_LOGISTIC,
  BuiltinOperator_SOFTMAX
};

class MicroOpResolver {
 public:
  virtual ~MicroOpResolver() {}
  virtual const TFLMRegistration *FindOp(BuiltinOperator op) const = 0;
  virtual const TFLMRegistration *FindOp(const char *op) const = 0;
};

class MicroAllocator {
 public:
  static MicroAllocator *Create(uint8_t *arena, size_t size) {
    static MicroAllocator made;
    made = MicroAllocator();
    made.at_ = arena;
    made.room_ = size;
    return &made;
  }
  bool Take(size_t bytes) {
    if (used_ + bytes > room_) return false;
    used_ += bytes;
    return true;
  }
  uint8_t *Head() { return at_; }
  size_t used_bytes() const { return used_; }

 private:
  uint8_t *at_ = nullptr;
  size_t room_ = 0, used_ = 0;
};

class MicroInterpreter {
 public:
  MicroInterpreter(const Model *model, const MicroOpResolver &, MicroAllocator *allocator,
                   void * = nullptr, MicroProfilerInterface *profiler = nullptr)
      : model_(model), allocator_(allocator), profiler_(profiler) {}

  TfLiteStatus AllocateTensors() {
    if (!allocator_->Take(model_->need)) return kTfLiteError;
    const uint8_t *m = model_->bytes;
    uint8_t *at = allocator_->Head();
    for (int i = 0; i < 3; i++) at = Place(tensors_[i], at, m[2], m[3], m[6] && i == 2);
    if (m[1]) {
      at = Place(tensors_[1], at, m[4], m[5], false);
      Place(tensors_[2], at, 1, 2, false);
    }
    return kTfLiteOk;
  }

  size_t inputs_size() const { return model_->bytes[1] ? 1 : 2; }
  size_t outputs_size() const { return model_->bytes[1] ? 2 : 1; }
  TfLiteTensor *input(size_t i) { return &tensors_[i]; }
  TfLiteTensor *output(size_t i) { return &tensors_[model_->bytes[1] ? 1 + i : 2]; }

  TfLiteStatus Invoke() {
    uint32_t event = profiler_->BeginEvent("ADD");
    const int8_t *z = tensors_[0].data.int8, *e = tensors_[1].data.int8;
    const uint8_t *m = model_->bytes;
    if (!m[1])
      for (size_t i = 0; i < tensors_[0].bytes; i++)
        tensors_[2].data.int8[i] = static_cast<int8_t>(z[i] + e[i]);
    else
      for (int i = 0; i < m[4] * m[5]; i++)
        tensors_[1].data.int8[i] = z[i / m[5] * m[3] + i % m[5] % m[3]];
    if (m[1]) std::memcpy(tensors_[2].data.raw, z, 2);
    profiler_->EndEvent(event);
    return kTfLiteOk;
  }

 private:
  static uint8_t *Place(TfLiteTensor &t, uint8_t *at, int rows, int columns, bool other) {
    t.shape = {4, {1, 1, rows, columns}};
    t.type = kTfLiteInt8;
    t.dims = &t.shape;
    t.bytes = static_cast<size_t>(rows * columns);
    t.data.raw = at;
    t.params = {other ? 0.5f : 0.25f, 0};
    return at + ((t.bytes + 15) & ~size_t{15});
  }

  const Model *model_;
  MicroAllocator *allocator_;
  MicroProfilerInterface *profiler_;
  TfLiteTensor tensors_[3] = {};
};

}  // namespace tflite

#endif
