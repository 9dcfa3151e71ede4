#ifndef FAKE_CONV_H
#define FAKE_CONV_H

#include <cstdint>

namespace tflite {
struct OpDataConv {
  int32_t *per_channel_output_multiplier, *per_channel_output_shift;
  int32_t output_activation_min, output_activation_max;
};
}  // namespace tflite

#endif
