/* The recursion on a device: supervision steps of H-cycles of L-cycles, halting, argmax.

   Equations as in trm_jax/models/recursion.py and act.py:

     one H-cycle:  z_L <- net(z_L, z_H + e), L_cycles times;   z_H <- net(z_H, z_L)
     after a step: halt by a rule (halting.h), else go on to max_steps

   e is never held: its rows are streamed from flash at every injection. */
#ifndef TRM_LOOP_H
#define TRM_LOOP_H

#include "block.h"
#include "bytes.h"
#include "rows.h"

typedef struct {
  const trm_rows *rows;
  const trm_block *block;
  void *z_H, *z_L, *row;
  uint8_t *inputs, *answer, *scratch; /* seq bytes each: two of tokens, one for the rule of halting */
  void (*tell_step)(void *context, uint32_t steps); /* after each; or NULL */
  void *context;
} trm_machine;

typedef struct {
  uint32_t steps;     /* supervision steps used */
  uint32_t halted;    /* 1: by the rule; 0: max_steps reached */
  float q_halt;       /* of the last step */
  uint32_t saturated; /* clamped elements of all injections; stops counting at 2^32 - 1 */
} trm_outcome;

/* Check that rows and block belong together and take the states' memory. */
trm_status trm_machine_start(trm_machine *machine, const trm_rows *rows, const trm_block *block,
                             trm_memory *memory);

/* Solve machine->inputs for a puzzle id; the tokens come in machine->answer. */
trm_status trm_solve(trm_machine *machine, const trm_depth *depth, uint32_t id,
                     trm_outcome *outcome);

/* Board's ticks of one update of each state, with its injection, and of reading z_H out. */
typedef struct {
  uint64_t update_L, update_H, read_out;
} trm_times;

/* Update z_L once, then z_H, and read out: what a puzzle repeats, timed. */
trm_status trm_time_once(trm_machine *machine, uint32_t id, trm_times *times);

/* Bytes of one state. */
uint32_t trm_state_bytes(const trm_rows *rows);

#endif
