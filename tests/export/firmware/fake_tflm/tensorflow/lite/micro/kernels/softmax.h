#ifndef FAKE_SOFTMAX_H
#define FAKE_SOFTMAX_H

#include <cstdint>

namespace tflite {
struct SoftmaxParams {
  int32_t input_multiplier, input_left_shift;
  int diff_min;
};
}  // namespace tflite

/* Fixed-point numbers of gemmlowp; functions of them are the simplest that are used alike. */
namespace gemmlowp {
template <typename Integer, int bits>
struct FixedPoint {
  Integer value;
  static FixedPoint FromRaw(Integer value) { return FixedPoint{value}; }
  Integer raw() const { return value; }
};

inline int32_t SaturatingRoundingDoublingHighMul(int32_t a, int32_t b) {
  return static_cast<int32_t>((static_cast<int64_t>(a) * b + (1 << 30)) >> 31);
}

/* 2^31 - 1 + x */
inline FixedPoint<int32_t, 0> exp_on_negative_values(FixedPoint<int32_t, 5> x) {
  return {INT32_MAX + x.value};
}

/* 1 */
inline FixedPoint<int32_t, 0> one_over_one_plus_x_for_x_in_0_1(FixedPoint<int32_t, 0>) {
  return {INT32_MAX};
}
}  // namespace gemmlowp

#endif
