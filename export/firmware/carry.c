#include "carry.h"

uint32_t trm_size(trm_type type) {
  return type == TRM_FLOAT32 ? 4 : type == TRM_INT16 ? 2 : 1;
}

static void inject_float(const float *z, const float *e, float *injection, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) injection[i] = e ? z[i] + e[i] : z[i];
}

/* (shift of a negative number is arithmetic in gcc and clang) */
static int32_t clamped(const trm_combine *c, int64_t z, int64_t e, int32_t low, int32_t high,
                       uint32_t *saturated) {
  int64_t value = (c->z_factor * z + c->e_factor * e + c->offset) >> c->shift;
  if (value >= low && value <= high) return (int32_t)value;
  ++*saturated;
  return value < low ? low : high;
}

static uint32_t inject_int16(const trm_combine *c, const int16_t *z, const int16_t *e,
                             int16_t *injection, uint32_t count) {
  uint32_t saturated = 0;
  for (uint32_t i = 0; i < count; i++)
    injection[i] = (int16_t)clamped(c, z[i], e ? e[i] : 0, INT16_MIN, INT16_MAX, &saturated);
  return saturated;
}

static uint32_t inject_int8(const trm_combine *c, const int8_t *z, const int8_t *e,
                            int8_t *injection, uint32_t count) {
  uint32_t saturated = 0;
  for (uint32_t i = 0; i < count; i++)
    injection[i] = (int8_t)clamped(c, z[i], e ? e[i] : 0, INT8_MIN, INT8_MAX, &saturated);
  return saturated;
}

uint32_t trm_inject(trm_type type, const trm_combine *combine, const void *z, const void *e,
                    void *injection, uint32_t count) {
  if (type == TRM_INT16) return inject_int16(combine, z, e, injection, count);
  if (type == TRM_INT8) return inject_int8(combine, z, e, injection, count);
  inject_float(z, e, injection, count);
  return 0;
}

/* Elements as floats: exact for all three types. */
static float element(trm_type type, const void *values, uint32_t i) {
  if (type == TRM_INT16) return (float)((const int16_t *)values)[i];
  if (type == TRM_INT8) return (float)((const int8_t *)values)[i];
  return ((const float *)values)[i];
}

uint32_t trm_argmax(trm_type type, const void *values, uint32_t count) {
  uint32_t best = 0;
  for (uint32_t i = 1; i < count; i++)
    if (element(type, values, i) > element(type, values, best)) best = i;
  return best;
}
