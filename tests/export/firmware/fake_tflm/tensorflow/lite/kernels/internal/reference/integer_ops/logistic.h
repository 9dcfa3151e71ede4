#ifndef FAKE_LOGISTIC_REFERENCE_H
#define FAKE_LOGISTIC_REFERENCE_H

#include <cstdint>

namespace tflite {
static const uint16_t sigmoid_table_uint16[256] = {0};

namespace reference_integer_ops {

/* y = x / 2, whatever the scales: a function of one int8 */
inline void Logistic(int32_t, int32_t, int32_t, int32_t, int32_t size, const int8_t *x, int8_t *y) {
  for (int32_t i = 0; i < size; i++) y[i] = static_cast<int8_t>(x[i] / 2);
}

}  // namespace reference_integer_ops
}  // namespace tflite

#endif
