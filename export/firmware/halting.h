/* When a solve ends before its last step: the rules of trm_jax/halting that a board knows.

   `bound` is in ten-thousandths for q and qc, a count of steps for `unchanged`, else 0. A board has
   no `residual`: the last H-cycle's change would need a second z_H. */
#ifndef TRM_HALTING_H
#define TRM_HALTING_H

#include "status.h"
#include "text.h"

typedef enum {
  TRM_HALT_NEVER = 0,
  TRM_HALT_Q = 1,          /* q_halt > bound */
  TRM_HALT_Q_CONTINUE = 2, /* q_halt > q_continue + bound (HRM, learned) */
  TRM_HALT_RULES = 3,      /* the answer obeys the rules of the puzzle (rules.h) */
  TRM_HALT_UNCHANGED = 4,  /* the answer stayed the same for `bound` steps more */
  TRM_HALT_COUNT
} trm_halt_rule;

typedef struct {
  trm_halt_rule rule;
  int32_t bound;
} trm_halting;

/* Whether a rule may have this bound. */
int trm_halting_fits(trm_halting halting);

/* Whether the rule looks at the answer. */
int trm_halting_reads_answer(trm_halting halting);

/* Whether q says halt, for the two rules by q. */
int trm_q_halts(trm_halting halting, float q_halt, float q_continue);

/* Read a rule such as `q:0.5` and step past it; false where it is none. */
int trm_get_halting(const char **at, trm_halting *halting);
void trm_put_halting(trm_text *text, trm_halting halting);

#endif
