/* What TFLM's operators take, summed by kind: a profiler that keeps sums instead of events.

   TFLM begins and ends one event per operator, never one inside another. Kinds beyond kMost are
   summed as "others". */
#ifndef TRM_TFLM_PARTS_H
#define TRM_TFLM_PARTS_H

#include "../block.h"
#include "../board.h"
#include "tensorflow/lite/micro/micro_profiler_interface.h"

#include <cstring>

class TflmParts : public tflite::MicroProfilerInterface {
 public:
  uint32_t BeginEvent(const char *name) override {
    uint32_t index = Find(name);
    start_ = board_ticks();
    return index;
  }

  void EndEvent(uint32_t index) override {
    parts_[index].ticks += board_ticks() - start_;
    parts_[index].calls++;
  }

  uint32_t Tell(const trm_part **parts) const {
    *parts = parts_;
    return count_;
  }

 private:
  static constexpr uint32_t kMost = 32;

  uint32_t Find(const char *name) {
    for (uint32_t i = 0; i < count_; i++)
      if (!std::strcmp(parts_[i].name, name)) return i;
    if (count_ == kMost) return kMost - 1;
    parts_[count_].name = count_ == kMost - 1 ? "others" : name;
    return count_++;
  }

  trm_part parts_[kMost] = {};
  uint32_t count_ = 0;
  uint64_t start_ = 0;
};

#endif
