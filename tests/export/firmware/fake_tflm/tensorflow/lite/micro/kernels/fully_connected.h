#ifndef FAKE_FULLY_CONNECTED_H
#define FAKE_FULLY_CONNECTED_H

#include <cstdint>

namespace tflite {
struct OpDataFullyConnected {
  int32_t output_activation_min, output_activation_max;
  int32_t input_zero_point, filter_zero_point, output_zero_point;
  int32_t *per_channel_output_multiplier, *per_channel_output_shift;
  bool is_per_channel;
};
}  // namespace tflite

#endif
