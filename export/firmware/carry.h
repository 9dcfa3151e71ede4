/* Number formats of the carry, and the injection: the only arithmetic of the loop itself.

   float32:  injection = z + e
   integers: injection = clamp((z_factor * z + e_factor * e + offset) >> shift)

   in int64, >> rounding down; the limits are the type's. The writer (export/cortex_m/row_file.py) folds
   the scales into factor / 2^shift and zero points and the rounding half into offset. With one
   scale for all, both factors are 2^shift and this is a saturating addition. e has zero point 0. */
#ifndef TRM_CARRY_H
#define TRM_CARRY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { TRM_FLOAT32 = 0, TRM_INT16 = 1, TRM_INT8 = 2, TRM_TYPE_COUNT } trm_type;

typedef struct {
  int32_t z_factor, e_factor;
  int64_t offset;
  uint32_t shift;
} trm_combine;

/* Bytes of an element. */
uint32_t trm_size(trm_type type);

/* Make `count` elements of the injection.

   e: NULL adds nothing (updates of z_H, prefix positions without puzzle embedding).
   Returns how many elements were clamped; 0 for float32. */
uint32_t trm_inject(trm_type type, const trm_combine *combine, const void *z, const void *e,
                    void *injection, uint32_t count);

/* Index of the largest of `count` elements, the first of equals. */
uint32_t trm_argmax(trm_type type, const void *values, uint32_t count);

#ifdef __cplusplus
}
#endif
#endif
