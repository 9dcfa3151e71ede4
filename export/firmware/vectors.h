/* Golden vectors: puzzles in flash with the answers that the simulation gave, and the self-test.

   Bytes are written down in export/cortex_m/test_vectors.py. The file stands right behind the row file.
   A vector says tokens and the step at which the rule of halting ends it, and where the arithmetic is integer the CRC-32 of both final
   states, so that one wrong bit anywhere in a rollout shows. */
#ifndef TRM_VECTORS_H
#define TRM_VECTORS_H

#include "loop.h"

typedef struct {
  trm_flash flash;
  uint32_t at, count, seq, stride;
  int states; /* compare the states' checksums */
  trm_depth depth;
} trm_vectors;

/* What differed in one vector. */
typedef struct {
  uint32_t wrong_cells, steps, wanted_steps;
  int states_differ;
} trm_verdict;

/* Find and check the vectors behind a row file. */
trm_status trm_vectors_open(trm_vectors *vectors, const trm_rows *rows);

/* Solve one vector and compare. */
trm_status trm_vectors_run(const trm_vectors *vectors, trm_machine *machine, uint32_t index,
                           trm_verdict *verdict);

/* Whether a verdict is all well. */
int trm_passed(const trm_verdict *verdict);

#endif
