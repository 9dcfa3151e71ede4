/* The package's operators, some of them with this firmware's kernels (../kernels.h, ../products.h).

   TFLM asks a resolver for an operator's functions. This one answers as the package's does, but for
   these kinds the functions are ours; whatever they do not know they hand on to TFLM's:

     LOGISTIC          int8 by a table of all results, which TFLM's own function fills at the start;
                       int16 four at a time
     SOFTMAX           int8 by a table of all exponentials, which TFLM's own arithmetic fills
     CONV_2D           of 1x1: int16 rows, int8 filters with 32-bit sums
     FULLY_CONNECTED   int8 rows, int8 filters with a scale per channel
     TFLM_DECODE       4-bit codes to int8, looked up 32 at a time

   Bits are TFLM's. Compile with -DTRM_STOCK_KERNELS (make KERNELS=stock) for TFLM's kernels alone. */
#ifndef TRM_TFLM_KERNELS_H
#define TRM_TFLM_KERNELS_H

#include "trm_op_resolver.h"

/* Give an operator our functions; `stock` is TFLM's registration, nullptr where there is none. */
const TFLMRegistration *ReplaceBuiltin(tflite::BuiltinOperator op, const TFLMRegistration *stock);
const TFLMRegistration *ReplaceCustom(const TFLMRegistration *stock);

#ifdef TRM_STOCK_KERNELS
using TflmResolver = TrmOpResolver;
#else
class TflmResolver final : public TrmOpResolver {
 public:
  const TFLMRegistration *FindOp(tflite::BuiltinOperator op) const override {
    return ReplaceBuiltin(op, TrmOpResolver::FindOp(op));
  }

  /* DECODE is the only custom operator that packages have. */
  const TFLMRegistration *FindOp(const char *op) const override {
    return ReplaceCustom(TrmOpResolver::FindOp(op));
  }
};
#endif

#endif
