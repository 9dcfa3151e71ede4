#include "loop.h"

#include <string.h>

#include "board.h"
#include "rules.h"

uint32_t trm_state_bytes(const trm_rows *rows) {
  uint64_t bytes = ((uint64_t)rows->prefix + rows->seq) * rows->emb * trm_size(rows->type);
  /* more than any memory: trm_take then refuses with words */
  return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

static trm_status check_pair(const trm_rows *rows, const trm_block *block) {
  if (memcmp(rows->model_id, block->model_id, TRM_MODEL_ID_BYTES))
    return trm_fail(TRM_OTHER_MODEL, trm_hash_begin(rows->model_id),
                    trm_hash_begin(block->model_id));
  if (rows->type != block->carry) return trm_fail(TRM_OTHER_TYPE, rows->type, block->carry);
  const uint32_t pairs[][2] = {{rows->prefix + rows->seq, block->positions},
                               {rows->emb, block->emb},
                               {rows->seq, block->seq},
                               {rows->vocab, block->vocab}};
  for (unsigned i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
    if (pairs[i][0] != pairs[i][1]) return trm_fail(TRM_OTHER_SHAPE, pairs[i][0], pairs[i][1]);
  return trm_fine();
}

trm_status trm_machine_start(trm_machine *machine, const trm_rows *rows, const trm_block *block,
                             trm_memory *memory) {
  uint32_t sizes[6] = {trm_state_bytes(rows), trm_state_bytes(rows),
                       rows->emb * trm_size(rows->type), rows->seq, rows->seq, rows->seq};
  void *taken[6] = {0};
  trm_status status = check_pair(rows, block);
  for (unsigned i = 0; i < 6 && !status.code; i++) status = trm_take(memory, sizes[i], &taken[i]);
  *machine = (trm_machine){.rows = rows, .block = block, .z_H = taken[0], .z_L = taken[1],
                           .row = taken[2], .inputs = taken[3], .answer = taken[4], .scratch = taken[5]};
  return status;
}

static void count_up(uint32_t *counter, uint32_t more) {
  *counter = *counter > UINT32_MAX - more ? UINT32_MAX : *counter + more;
}

/* Repeat the row that was just read over all positions of a state. */
static void fill(const trm_machine *m, void *z) {
  uint32_t bytes = m->rows->emb * trm_size(m->rows->type);
  for (uint32_t p = 0; p < m->rows->prefix + m->rows->seq; p++)
    memcpy((uint8_t *)z + p * bytes, m->row, bytes);
}

/* z_L <- net(z_L, z_H + e) */
static trm_status update_L(trm_machine *m, uint32_t id, trm_outcome *outcome) {
  const trm_rows *rows = m->rows;
  uint32_t bytes = rows->emb * trm_size(rows->type);
  uint8_t *injection = m->block->injection(m->block->context, TRM_UPDATE_L);
  for (uint32_t p = 0; p < rows->prefix + rows->seq; p++) {
    int some = trm_read_embedding(rows, id, m->inputs, p, m->row);
    count_up(&outcome->saturated,
             trm_inject(rows->type, &rows->combine_L, (uint8_t *)m->z_H + p * bytes,
                        some ? m->row : NULL, injection + p * bytes, rows->emb));
  }
  return m->block->apply(m->block->context, TRM_UPDATE_L, m->z_L);
}

/* z_H <- net(z_H, z_L) */
static trm_status update_H(trm_machine *m, trm_outcome *outcome) {
  uint32_t count = (m->rows->prefix + m->rows->seq) * m->rows->emb;
  void *injection = m->block->injection(m->block->context, TRM_UPDATE_H);
  count_up(&outcome->saturated,
           trm_inject(m->rows->type, &m->rows->combine_H, m->z_L, NULL, injection, count));
  return m->block->apply(m->block->context, TRM_UPDATE_H, m->z_H);
}

/* Whether to go on: between any two updates. */
static trm_status go_on(const trm_depth *depth, const trm_outcome *outcome) {
  return board_goes_on() ? trm_fine() : trm_fail(TRM_STOPPED, outcome->steps, depth->max_steps);
}

static trm_status supervision_step(trm_machine *m, const trm_depth *depth, uint32_t id,
                                   trm_outcome *outcome) {
  trm_status status = trm_fine();
  for (uint32_t h = 0; h < depth->H_cycles && !status.code; h++) {
    for (uint32_t l = 0; l < depth->L_cycles && !status.code; l++) {
      status = update_L(m, id, outcome);
      if (!status.code) status = go_on(depth, outcome);
    }
    if (!status.code) status = update_H(m, outcome);
    if (!status.code) status = go_on(depth, outcome);
  }
  return status;
}

static void decode(trm_machine *m, const trm_outputs *outputs) {
  uint32_t bytes = m->rows->vocab * trm_size(m->block->logits);
  for (uint32_t t = 0; t < m->rows->seq; t++)
    m->answer[t] = (uint8_t)trm_argmax(m->block->logits,
                                       (const uint8_t *)outputs->logits + t * bytes,
                                       m->rows->vocab);
}

/* Whether the answer is that of the step before for so many steps in a row; `scratch` keeps it. */
static int is_unchanged(trm_machine *m, const trm_outcome *outcome, uint32_t wanted,
                        uint32_t *unchanged) {
  int same = outcome->steps > 1 && !memcmp(m->answer, m->scratch, m->rows->seq);
  *unchanged = same ? *unchanged + 1 : 0;
  memcpy(m->scratch, m->answer, m->rows->seq);
  return *unchanged >= wanted;
}

/* Decide after a step, with its answer decoded where the rule looks at it. */
static int wants_to_halt(trm_machine *m, trm_halting halting, const trm_outputs *outputs,
                         const trm_outcome *outcome, uint32_t *unchanged) {
  const trm_rows *rows = m->rows;
  if (halting.rule == TRM_HALT_NEVER) return 0;
  if (halting.rule == TRM_HALT_RULES)
    return trm_is_right(&rows->puzzles, rows->seq, m->inputs, m->answer, m->scratch);
  if (halting.rule == TRM_HALT_UNCHANGED)
    return is_unchanged(m, outcome, (uint32_t)halting.bound, unchanged);
  return trm_q_halts(halting, outputs->q_halt, outputs->q_continue);
}

static trm_status check_puzzle(const trm_machine *m, uint32_t id) {
  for (uint32_t t = 0; t < m->rows->seq; t++)
    if (m->inputs[t] >= m->rows->vocab) return trm_fail(TRM_BAD_TOKEN, t, m->rows->vocab);
  return trm_rows_check_puzzle(m->rows, id);
}

/* Check a puzzle and set both states to their initial values. */
static trm_status begin(trm_machine *m, uint32_t id) {
  trm_status status = check_puzzle(m, id);
  if (status.code) return status;
  trm_read_L_init(m->rows, m->row);
  fill(m, m->z_L);
  trm_read_H_init(m->rows, m->row);
  fill(m, m->z_H);
  return status;
}

trm_status trm_solve(trm_machine *machine, const trm_depth *depth, uint32_t id,
                     trm_outcome *outcome) {
  trm_outputs outputs = {0};
  uint32_t unchanged = 0;
  *outcome = (trm_outcome){0};
  trm_status status = begin(machine, id);
  if (status.code) return status;
  while (outcome->steps < depth->max_steps && !outcome->halted) {
    status = supervision_step(machine, depth, id, outcome);
    if (!status.code)
      status = machine->block->read_out(machine->block->context, machine->z_H, &outputs);
    if (status.code) return status;
    outcome->steps++;
    if (machine->tell_step) machine->tell_step(machine->context, outcome->steps);
    if (trm_halting_reads_answer(depth->halting)) decode(machine, &outputs);
    outcome->halted =
        (uint32_t)wants_to_halt(machine, depth->halting, &outputs, outcome, &unchanged);
  }
  outcome->q_halt = outputs.q_halt;
  if (!trm_halting_reads_answer(depth->halting)) decode(machine, &outputs);
  return trm_fine();
}

trm_status trm_time_once(trm_machine *machine, uint32_t id, trm_times *times) {
  const trm_block *block = machine->block;
  trm_outcome outcome = {0};
  trm_outputs outputs;
  trm_status status = begin(machine, id);
  uint64_t start = board_ticks();
  if (!status.code) status = update_L(machine, id, &outcome);
  uint64_t after_L = board_ticks();
  if (!status.code) status = update_H(machine, &outcome);
  uint64_t after_H = board_ticks();
  if (!status.code) status = block->read_out(block->context, machine->z_H, &outputs);
  if (!status.code) decode(machine, &outputs);
  *times = (trm_times){after_L - start, after_H - after_L, board_ticks() - after_H};
  return status;
}
