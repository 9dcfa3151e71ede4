/* Whether an answer obeys the rules of its puzzle: neither a label nor the model is asked.

   Sudoku: what is given stays, and every row, column and box holds every digit; token 1 is blank,
   d + 1 the digit d. Mazes: everything but free cells stays, and the path cells are one of the shortest
   chains from start to goal; tokens 1 wall, 2 free, 3 start, 4 goal, 5 path. The same rules in
   Python: trm_jax/tasks/sudoku.py and maze.py. */
#ifndef TRM_RULES_H
#define TRM_RULES_H

#include "rows.h"

/* Whether the answer obeys the rules; `scratch` has a byte a cell. */
int trm_is_right(const trm_puzzles *puzzles, uint32_t cells, const uint8_t *inputs,
                 const uint8_t *answer, uint8_t *scratch);

#endif
