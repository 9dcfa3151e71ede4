#include "kernels.h"

#ifdef __ARM_FEATURE_MVE
#include <arm_mve.h>
#endif

enum { NIBBLE = 4, LOW = 15 };
enum { FRACTION_BITS = 9, FRACTION = (1 << FRACTION_BITS) - 1, LAST = TRM_SIGMOID_ENTRIES - 1 };
enum { SHARPER = 10 }; /* bits that interpolation has beyond int16 */
enum { ONE_BITS = 16 + FRACTION_BITS, ONE = 1 << ONE_BITS };
static const uint32_t SATURATED = 0xfffe; /* interpolated, 0x7fff */

/* The codes of whole bytes, an even count. */
static void decode_pairs(const uint8_t *codes, uint32_t count, const uint8_t *table,
                         uint8_t *values) {
#ifdef __ARM_FEATURE_MVE
  for (uint32_t n = count / 32; n; n--, codes += 16, values += 32) {
    uint8x16_t pairs = vld1q_u8(codes);
    uint8x16x2_t found = {{vldrbq_gather_offset_u8(table, vshrq_n_u8(pairs, NIBBLE)),
                           vldrbq_gather_offset_u8(table, vandq_u8(pairs, vdupq_n_u8(LOW)))}};
    vst2q_u8(values, found);
  }
  count %= 32;
#endif
  for (; count; count -= 2, codes++) {
    *values++ = table[*codes >> NIBBLE];
    *values++ = table[*codes & LOW];
  }
}

void trm_decode_channel(const uint8_t *codes, uint32_t first, uint32_t count,
                        const uint8_t table[TRM_TABLE_ENTRIES], uint8_t *values) {
  uint32_t end = first + count;
  if (first % 2 && first < end) *values++ = table[codes[first++ / 2] & LOW];
  uint32_t pairs = (end - first) / 2 * 2;
  decode_pairs(codes + first / 2, pairs, table, values);
  if (first + pairs < end) values[pairs] = table[codes[end / 2] >> NIBBLE];
}

void trm_look_up(const uint8_t table[256], const uint8_t *x, uint8_t *y, uint32_t count) {
#ifdef __ARM_FEATURE_MVE
  for (uint32_t n = count / 16; n; n--, x += 16, y += 16)
    vst1q_u8(y, vldrbq_gather_offset_u8(table, vld1q_u8(x)));
  count %= 16;
#endif
  for (uint32_t i = 0; i < count; i++) y[i] = table[x[i]];
}

void trm_pack_sigmoid(const uint16_t samples[TRM_SIGMOID_ENTRIES],
                      uint32_t packed[TRM_SIGMOID_ENTRIES]) {
  for (uint32_t i = 0; i < LAST; i++)
    packed[i] = (uint32_t)samples[i] << 16 | (uint16_t)(samples[i + 1] - samples[i]);
  packed[LAST] = SATURATED << 16;
}

static int16_t logistic(const trm_sigmoid *sigmoid, int16_t x) {
  int32_t round = sigmoid->shift > 0 ? 1 << (sigmoid->shift - 1) : 0;
  int32_t scaled = (x * sigmoid->multiplier + round) >> sigmoid->shift;
  uint32_t size = scaled < 0 ? 0u - (uint32_t)scaled : (uint32_t)scaled;
  uint32_t at = size >> FRACTION_BITS, entry = sigmoid->packed[at < LAST ? at : LAST];
  uint32_t result = (entry >> 16 << FRACTION_BITS) + (size & FRACTION) * (uint16_t)entry;
  if (scaled < 0) result ^= ONE - 1; /* ONE - 1 - result: it has no higher bits */
  return (int16_t)((result + (1u << (SHARPER - 1))) >> SHARPER);
}

void trm_logistic_s16(const trm_sigmoid *sigmoid, const int16_t *x, int16_t *y, uint32_t count) {
  const trm_sigmoid by = *sigmoid; /* a copy, which no store through y can change */
#ifdef __ARM_FEATURE_MVE
  for (uint32_t n = count / 4; n; n--, x += 4, y += 4) {
    int32x4_t scaled = vrshlq_n_s32(vmulq_n_s32(vldrhq_s32(x), by.multiplier), -by.shift);
    uint32x4_t size = vreinterpretq_u32_s32(vabsq_s32(scaled));
    uint32x4_t at = vminq_u32(vshrq_n_u32(size, FRACTION_BITS), vdupq_n_u32(LAST));
    uint32x4_t entry = vldrwq_gather_shifted_offset_u32(by.packed, at);
    uint32x4_t slope = vmovlbq_u16(vreinterpretq_u16_u32(entry));
    uint32x4_t base = vshlq_n_u32(vshrq_n_u32(entry, 16), FRACTION_BITS);
    uint32x4_t part = vandq_u32(size, vdupq_n_u32(FRACTION));
    uint32x4_t result = vaddq_u32(base, vmulq_u32(part, slope));
    uint32x4_t sign = vreinterpretq_u32_s32(vshrq_n_s32(scaled, 31));
    result = vrshrq_n_u32(veorq_u32(result, vshrq_n_u32(sign, 32 - ONE_BITS)), SHARPER);
    vstrhq_u32((uint16_t *)y, result);
  }
  count %= 4;
#endif
  for (uint32_t i = 0; i < count; i++) y[i] = logistic(&by, x[i]);
}

enum { SUM_BITS = 12, MOST_S8 = 127, LEAST_S8 = -128 };

/* value / 2^places, halves up; a shift by 0 has no half */
static int32_t round_off(int32_t value, int32_t places) {
  return (int32_t)(((int64_t)value + ((int64_t)1 << places >> 1)) >> places);
}

static int32_t largest_of(const int8_t *x, uint32_t count) {
  int32_t largest = LEAST_S8;
#ifdef __ARM_FEATURE_MVE
  for (uint32_t n = count / 16; n; n--, x += 16)
    largest = vmaxvq_s8((int8_t)largest, vld1q_s8(x));
  count %= 16;
#endif
  for (uint32_t i = 0; i < count; i++) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

#ifdef __ARM_FEATURE_MVE
static inline int32x4_t exponentials_at(const int32_t *exponentials, int32_t largest,
                                        const int8_t *x) {
  int32x4_t below = vsubq_s32(vdupq_n_s32(largest), vldrbq_s32(x));
  return vldrwq_gather_shifted_offset_s32(exponentials, vreinterpretq_u32_s32(below));
}
#endif

trm_softmax_row trm_softmax_sum(const int32_t exponentials[256], const int8_t *x, uint32_t count) {
  trm_softmax_row row = {largest_of(x, count), 0};
#ifdef __ARM_FEATURE_MVE
  for (uint32_t n = count / 4; n; n--, x += 4)
    row.sum = vaddvaq_s32(
        row.sum, vrshrq_n_s32(exponentials_at(exponentials, row.largest, x), SUM_BITS));
  count %= 4;
#endif
  for (uint32_t i = 0; i < count; i++)
    row.sum += round_off(exponentials[row.largest - x[i]], SUM_BITS);
  return row;
}

void trm_softmax_write(const int32_t exponentials[256], const trm_softmax_scale *by,
                       const int8_t *x, int8_t *y, uint32_t count) {
  const trm_softmax_scale scale = *by; /* a copy, which no store through y can change */
#ifdef __ARM_FEATURE_MVE
  for (uint32_t n = count / 4; n; n--, x += 4, y += 4) {
    int32x4_t found = exponentials_at(exponentials, scale.largest, x);
    found = vrshlq_n_s32(vqrdmulhq_n_s32(found, scale.scale), -scale.places);
    vstrbq_s32(y, vminq_s32(vaddq_n_s32(found, LEAST_S8), vdupq_n_s32(MOST_S8)));
  }
  count %= 4;
#endif
  for (uint32_t i = 0; i < count; i++) {
    int64_t product = (int64_t)exponentials[scale.largest - x[i]] * scale.scale;
    int32_t value = round_off((int32_t)((product + (1 << 30)) >> 31), scale.places) + LEAST_S8;
    y[i] = (int8_t)(value < MOST_S8 ? value : MOST_S8);
  }
}
