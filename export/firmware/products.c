#include "products.h"

#ifdef __ARM_FEATURE_MVE
#include <arm_mve.h>

enum { ROWS = 3, CHANNELS = 2, GROUP = 4 };

/* Sums of three rows with two channels, STEP products at a time, the rest masked; rows of `sums` are
   GROUP apart. Assembly, as the compiler makes no tail-predicated loops of intrinsics. */
#define SUM_TILE(NAME, TYPE, BITS, LOAD_FILTER, FILTER_STEP, LOAD_X, X_STEP)                      \
  static inline void NAME(const TYPE *const x[ROWS], const int8_t *f0, const int8_t *f1,          \
                          uint32_t inputs, int32_t *sums) {                                       \
    const TYPE *x0 = x[0], *x1 = x[1], *x2 = x[2];                                                \
    int32_t s00, s01, s10, s11, s20, s21; /* even registers: what vmlava adds to */               \
    __asm volatile("  wlstp." BITS "   lr, %[n], 1f \n"                                           \
                   "  mov %[s00], #0 \n"                                                          \
                   "  mov %[s01], #0 \n"                                                          \
                   "  mov %[s10], #0 \n"                                                          \
                   "  mov %[s11], #0 \n"                                                          \
                   "  mov %[s20], #0 \n"                                                          \
                   "  mov %[s21], #0 \n"                                                          \
                   "2: \n"                                                                        \
                   "  " LOAD_FILTER " q0, [%[f0]], #" FILTER_STEP " \n"                           \
                   "  " LOAD_X " q2, [%[x0]], #" X_STEP " \n"                                     \
                   "  vmlava.s" BITS " %[s00], q0, q2 \n"                                         \
                   "  " LOAD_FILTER " q1, [%[f1]], #" FILTER_STEP " \n"                           \
                   "  vmlava.s" BITS " %[s01], q1, q2 \n"                                         \
                   "  " LOAD_X " q3, [%[x1]], #" X_STEP " \n"                                     \
                   "  vmlava.s" BITS " %[s10], q0, q3 \n"                                         \
                   "  vmlava.s" BITS " %[s11], q1, q3 \n"                                         \
                   "  " LOAD_X " q2, [%[x2]], #" X_STEP " \n"                                     \
                   "  vmlava.s" BITS " %[s20], q0, q2 \n"                                         \
                   "  vmlava.s" BITS " %[s21], q1, q2 \n"                                         \
                   "  letp lr, 2b \n"                                                             \
                   "1: \n"                                                                        \
                   : [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2), [f0] "+r"(f0), [f1] "+r"(f1),   \
                     [s00] "=Te"(s00), [s01] "=Te"(s01), [s10] "=Te"(s10), [s11] "=Te"(s11),      \
                     [s20] "=Te"(s20), [s21] "=Te"(s21)                                           \
                   : [n] "r"(inputs)                                                              \
                   : "q0", "q1", "q2", "q3", "memory", "lr");                                     \
    sums[0] = s00, sums[1] = s01;                                                                 \
    sums[GROUP] = s10, sums[GROUP + 1] = s11;                                                     \
    sums[2 * GROUP] = s20, sums[2 * GROUP + 1] = s21;                                             \
  }

SUM_TILE(sum_tile_s16, int16_t, "16", "vldrb.s16", "8", "vldrh.u16", "16")
SUM_TILE(sum_tile_s8, int8_t, "8", "vldrb.u8", "16", "vldrb.u8", "16")

/* How four channels are scaled. */
typedef struct {
  int32x4_t offset, multipliers, left, right;
  mve_pred16_t there; /* of four, those that are not behind the last */
} trm_channels;

static inline trm_channels open_channels(const trm_product *p, uint32_t n) {
  mve_pred16_t there = vctp32q(p->outputs - n);
  int32x4_t shifts = vldrwq_z_s32(p->shifts + n, there), none = vdupq_n_s32(0);
  return (trm_channels){.offset = p->bias ? vldrwq_z_s32(p->bias + n, there) : none,
                        .multipliers = vldrwq_z_s32(p->multipliers + n, there),
                        .left = vmaxq_s32(shifts, none),
                        .right = vminq_s32(shifts, none),
                        .there = there};
}

static inline int32x4_t scale(const trm_product *p, const trm_channels *by, const int32_t *sums) {
  int32x4_t shifted = vshlq_s32(vaddq_s32(vldrwq_s32(sums), by->offset), by->left);
  int32x4_t high = vqrdmulhq_s32(shifted, by->multipliers);
  int32x4_t nudge = vshrq_n_s32(vandq_s32(high, by->right), 31); /* halves go away from 0 */
  int32x4_t result = vrshlq_s32(vqaddq_s32(high, nudge), by->right);
  result = vaddq_n_s32(result, p->y_zero);
  return vminq_s32(vmaxq_s32(result, vdupq_n_s32(p->least)), vdupq_n_s32(p->most));
}

/* Behind the last row or channel the last one is computed again. */
static uint32_t at_most(uint32_t index, uint32_t last) { return index < last ? index : last; }

typedef struct {
  const int8_t *of[GROUP];
} trm_filters;

static inline trm_filters open_filters(const trm_product *p, uint32_t n) {
  trm_filters filters;
  for (uint32_t i = 0; i < GROUP; i++)
    filters.of[i] = p->filter + at_most(n + i, p->outputs - 1) * p->inputs;
  return filters;
}

void trm_multiply_s16(const trm_product *p, const int16_t *x, int16_t *y) {
  for (uint32_t n = 0; n < p->outputs; n += GROUP) {
    trm_channels by = open_channels(p, n);
    trm_filters filters = open_filters(p, n);
    for (uint32_t m = 0, last = p->rows - 1; m <= last; m += ROWS) {
      uint32_t row[ROWS] = {m, at_most(m + 1, last), at_most(m + 2, last)};
      const int16_t *from[ROWS];
      for (uint32_t i = 0; i < ROWS; i++) from[i] = x + row[i] * p->inputs;
      int32_t sums[ROWS * GROUP];
      for (uint32_t c = 0; c < GROUP; c += CHANNELS)
        sum_tile_s16(from, filters.of[c], filters.of[c + 1], p->inputs, sums + c);
      for (uint32_t i = 0; i < ROWS; i++)
        vstrhq_p_s32(y + row[i] * p->outputs + n, scale(p, &by, sums + i * GROUP), by.there);
    }
  }
}

/* The input's zero point times a filter's sum: what it adds to every sum of the channel. */
static int32_t zero_of(const trm_product *p, const int8_t *filter) {
  int32_t sum = 0;
  for (uint32_t k = 0; k < p->inputs; k += 16) {
    mve_pred16_t there = vctp8q(p->inputs - k);
    sum = vaddvaq_s8(sum, vldrbq_z_s8(filter + k, there));
  }
  return -p->x_zero * sum;
}

void trm_multiply_s8(const trm_product *p, const int8_t *x, int8_t *y) {
  for (uint32_t n = 0; n < p->outputs; n += GROUP) {
    trm_channels by = open_channels(p, n);
    trm_filters filters = open_filters(p, n);
    int32x4_t zeros = {zero_of(p, filters.of[0]), zero_of(p, filters.of[1]),
                       zero_of(p, filters.of[2]), zero_of(p, filters.of[3])};
    by.offset = vaddq_s32(by.offset, zeros);
    for (uint32_t m = 0, last = p->rows - 1; m <= last; m += ROWS) {
      uint32_t row[ROWS] = {m, at_most(m + 1, last), at_most(m + 2, last)};
      const int8_t *from[ROWS];
      for (uint32_t i = 0; i < ROWS; i++) from[i] = x + row[i] * p->inputs;
      int32_t sums[ROWS * GROUP];
      for (uint32_t c = 0; c < GROUP; c += CHANNELS)
        sum_tile_s8(from, filters.of[c], filters.of[c + 1], p->inputs, sums + c);
      for (uint32_t i = 0; i < ROWS; i++)
        vstrbq_p_s32(y + row[i] * p->outputs + n, scale(p, &by, sums + i * GROUP), by.there);
    }
  }
}

#else

/* (a * b * 2 + 2^31) / 2^32, rounded down; the one overflow saturates. */
static int32_t multiply_high(int32_t a, int32_t b) {
  if (a == INT32_MIN && b == INT32_MIN) return INT32_MAX;
  return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* value / 2^places, halves away from 0 */
static int32_t divide(int32_t value, int32_t places) {
  if (!places) return value;
  int64_t half = (int64_t)1 << (places - 1);
  return (int32_t)((value + half - (value < 0)) >> places);
}

static int32_t scale(const trm_product *p, uint32_t n, int32_t sum) {
  int32_t shift = p->shifts[n], left = shift > 0 ? shift : 0, right = shift < 0 ? -shift : 0;
  int32_t shifted = (int32_t)((uint32_t)sum << left);
  int32_t result = divide(multiply_high(shifted, p->multipliers[n]), right) + p->y_zero;
  return result < p->least ? p->least : result > p->most ? p->most : result;
}

void trm_multiply_s16(const trm_product *p, const int16_t *x, int16_t *y) {
  for (uint32_t m = 0; m < p->rows; m++, x += p->inputs)
    for (uint32_t n = 0; n < p->outputs; n++) {
      int32_t sum = p->bias ? p->bias[n] : 0;
      for (uint32_t k = 0; k < p->inputs; k++) sum += x[k] * p->filter[n * p->inputs + k];
      *y++ = (int16_t)scale(p, n, sum);
    }
}

void trm_multiply_s8(const trm_product *p, const int8_t *x, int8_t *y) {
  for (uint32_t m = 0; m < p->rows; m++, x += p->inputs)
    for (uint32_t n = 0; n < p->outputs; n++) {
      int32_t sum = p->bias ? p->bias[n] : 0;
      for (uint32_t k = 0; k < p->inputs; k++)
        sum += (x[k] - p->x_zero) * p->filter[n * p->inputs + k];
      *y++ = (int8_t)scale(p, n, sum);
    }
}
#endif
