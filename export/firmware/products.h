/* Products of rows and int8 filters with the bits of TFLM's 1x1 CONV_2D (int16 rows) and
   FULLY_CONNECTED (int8 rows): arithmetic alone.

     sum       bias[n] + (x[m][0] - x_zero) * filter[n][0] + ...      int32, exact
     y[m][n]   sum * 2^left, its high half times the multiplier (rounded), / 2^right (rounded),
               + y_zero, cut

   With Helium three rows meet two channels at a time: 12 instructions for 48 products of int16 and
   96 of int8, where CMSIS-NN takes 10 for 32 and 11 for 64. */
#ifndef TRM_PRODUCTS_H
#define TRM_PRODUCTS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const int8_t *filter; /* outputs x inputs */
  const int32_t *bias;  /* NULL: none */
  const int32_t *multipliers, *shifts; /* of every output; a shift below 0 divides */
  int32_t x_zero, y_zero;              /* zero points; of int16 they are 0 */
  int32_t least, most;                 /* of a result */
  uint32_t rows, inputs, outputs;      /* none is 0 */
} trm_product;

void trm_multiply_s16(const trm_product *product, const int16_t *x, int16_t *y);
void trm_multiply_s8(const trm_product *product, const int8_t *x, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif
