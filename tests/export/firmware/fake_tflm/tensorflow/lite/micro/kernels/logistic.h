#ifndef FAKE_LOGISTIC_H
#define FAKE_LOGISTIC_H

#include <cstdint>

namespace tflite {
struct OpDataLogistic {
  int32_t input_zero_point, input_range_radius, input_multiplier;
  int input_left_shift;
};
}  // namespace tflite

#endif
