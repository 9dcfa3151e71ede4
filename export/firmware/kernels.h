/* Faster forms of a few of TFLM's kernels, with the same bits: arithmetic alone, no TFLM.

   What TFLM computes element by element is computed here 4 to 32 elements at a time where the
   compiler has Helium (M-profile vectors, MVE); elsewhere by the same arithmetic in plain C.
   tflm/tflm_kernels.cc gives them to TFLM's interpreter. Nothing here checks its arguments.

   trm_decode_channel   4-bit codes of one output channel -> int8, by the channel's table
   trm_look_up          int8 -> int8, by a table of all 256 results
   trm_logistic_s16     int16 -> int16, by linear interpolation in TFLM's samples of the sigmoid
   trm_softmax_sum, trm_softmax_write   int8 -> int8, by a table of all exponentials */

#ifndef TRM_KERNELS_H
#define TRM_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { TRM_TABLE_ENTRIES = 16, TRM_SIGMOID_ENTRIES = 256 };

/* Look up `count` codes, two a byte with the first in the high nibble, from code `first` on. */
void trm_decode_channel(const uint8_t *codes, uint32_t first, uint32_t count,
                        const uint8_t table[TRM_TABLE_ENTRIES], uint8_t *values);

/* y = table[x as an unsigned byte]. */
void trm_look_up(const uint8_t table[256], const uint8_t *x, uint8_t *y, uint32_t count);

/* Put a sample (high half) and what it lacks to the next one side by side; the last is where TFLM
   saturates. */
void trm_pack_sigmoid(const uint16_t samples[TRM_SIGMOID_ENTRIES],
                      uint32_t packed[TRM_SIGMOID_ENTRIES]);

/* How TFLM scales the input of an int16 LOGISTIC: (x * multiplier + round) >> shift, in steps of
   1/(3 * 4096); `multiplier` is never 0 here. */
typedef struct {
  const uint32_t *packed; /* TFLM's samples of the sigmoid, times 65536 */
  int32_t multiplier;
  int32_t shift;
} trm_sigmoid;

void trm_logistic_s16(const trm_sigmoid *sigmoid, const int16_t *x, int16_t *y, uint32_t count);

/* A row of a SOFTMAX: the largest, and the sum of 2^-12 exponentials[largest - x]. They are those of
   the differences 0, -1, ... -255 as Q0.31, and 0 where TFLM leaves an element out. */
typedef struct {
  int32_t largest, sum;
} trm_softmax_row;

trm_softmax_row trm_softmax_sum(const int32_t exponentials[256], const int8_t *x, uint32_t count);

/* y = exponential * scale (Q0.31) / 2^places - 128, cut to int8. */
typedef struct {
  int32_t largest, scale, places;
} trm_softmax_scale;

void trm_softmax_write(const int32_t exponentials[256], const trm_softmax_scale *by,
                       const int8_t *x, int8_t *y, uint32_t count);

#ifdef __cplusplus
}
#endif

#endif
