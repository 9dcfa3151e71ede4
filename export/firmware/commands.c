#include "commands.h"

#include <string.h>

#include "board.h"
#include "notation.h"
#include "text.h"

enum { MOST_CYCLES = 1024 };

static const char *const TYPES[TRM_TYPE_COUNT] = {"float32", "int16", "int8"};

static trm_status info(trm_session *session, const char *arguments) {
  const trm_rows *rows = session->machine->rows;
  trm_text text = trm_reply(session);
  if (*arguments) return trm_fail(TRM_NO_ARGUMENTS, 0, 0);
  trm_put_words(&text, "info");
  trm_put_field(&text, "seq", rows->seq);
  trm_put_field(&text, "vocab", rows->vocab);
  trm_put_field(&text, "ids", rows->ids);
  trm_put_field(&text, "emb", rows->emb);
  trm_put_field(&text, "positions", rows->prefix + rows->seq);
  trm_put_words(&text, " type=");
  trm_put_words(&text, TYPES[rows->type]);
  trm_put_words(&text, " model=");
  trm_put_hex(&text, trm_hash_begin(rows->model_id));
  trm_put_words(&text, " rows=");
  trm_put_hex(&text, rows->crc);
  trm_put_field(&text, "state_bytes", 2 * (uint64_t)trm_state_bytes(rows));
  trm_put_field(&text, "arena_bytes", session->machine->block->arena_bytes);
  trm_put_field(&text, "stack_used", board_stack_used());
  trm_put_field(&text, "vectors", session->vectors_status.code ? 0 : session->vectors->count);
  trm_put_field(&text, "ticks_per_second", board_ticks_per_second());
  trm_send(&text);
  return trm_fine();
}

/* Step past `word` if the text begins with it. */
static int skip(const char **at, const char *word) {
  size_t length = strlen(word);
  if (strncmp(*at, word, length)) return 0;
  *at += length;
  return 1;
}

static trm_status set_count(const char **at, uint32_t *value) {
  uint32_t number;
  if (!trm_get_number(at, &number)) return trm_fail(TRM_BAD_SETTING, 0, 0);
  if (number < 1 || number > MOST_CYCLES) return trm_fail(TRM_DEPTH_RANGE, number, MOST_CYCLES);
  *value = number;
  return trm_fine();
}

static trm_status set_halting(const char **at, const trm_puzzles *puzzles, trm_halting *halting) {
  if (!trm_get_halting(at, halting)) return trm_fail(TRM_BAD_SETTING, 0, 0);
  if (halting->rule == TRM_HALT_RULES && puzzles->kind == TRM_UNKNOWN)
    return trm_fail(TRM_NO_RULES, 0, 0);
  return trm_fine();
}

static trm_status set_progress(const char **at, int *progress) {
  uint32_t number;
  if (!trm_get_number(at, &number) || number > 1) return trm_fail(TRM_BAD_SETTING, 0, 0);
  *progress = (int)number;
  return trm_fine();
}

static trm_status set_one(const char **at, const trm_puzzles *puzzles, trm_depth *depth,
                          int *progress) {
  if (skip(at, "progress=")) return set_progress(at, progress);
  if (skip(at, "H=")) return set_count(at, &depth->H_cycles);
  if (skip(at, "L=")) return set_count(at, &depth->L_cycles);
  if (skip(at, "steps=")) return set_count(at, &depth->max_steps);
  if (skip(at, "halt=")) return set_halting(at, puzzles, &depth->halting);
  return trm_fail(TRM_BAD_SETTING, 0, 0);
}

static trm_status set(trm_session *session, const char *arguments) {
  trm_depth depth = session->depth; /* all or nothing */
  int progress = session->progress;
  while (*arguments) {
    if (!skip(&arguments, " ")) return trm_fail(TRM_BAD_SETTING, 0, 0);
    trm_status status = set_one(&arguments, &session->machine->rows->puzzles, &depth, &progress);
    if (status.code) return status;
  }
  session->depth = depth;
  session->progress = progress;
  trm_text text = trm_reply(session);
  trm_put_words(&text, "set");
  trm_put_field(&text, "H", depth.H_cycles);
  trm_put_field(&text, "L", depth.L_cycles);
  trm_put_field(&text, "steps", depth.max_steps);
  trm_put_words(&text, " halt=");
  trm_put_halting(&text, depth.halting);
  if (progress) trm_put_field(&text, "progress", 1);
  trm_send(&text);
  return trm_fine();
}

static trm_status read_puzzle(trm_session *session, const char *at, uint32_t *id, int *written) {
  trm_machine *m = session->machine;
  if (!skip(&at, " ") || !trm_get_number(&at, id) || !skip(&at, " "))
    return trm_fail(TRM_BAD_NUMBER, 0, 0);
  return trm_read_puzzle(m->rows, at, m->inputs, written);
}

static void put_states(trm_text *text, const trm_machine *m) {
  uint32_t bytes = trm_state_bytes(m->rows);
  trm_put_words(text, " states=");
  trm_put_hex(text, trm_crc32(0, m->z_H, bytes));
  trm_put(text, ',');
  trm_put_hex(text, trm_crc32(0, m->z_L, bytes));
}

typedef struct {
  uint64_t ticks, cycles; /* cycles: 0 where the core does not count them */
} trm_cost;

static trm_cost cost_now(void) { return (trm_cost){board_ticks(), board_cycles()}; }

static void tell(trm_session *session, const trm_outcome *outcome, trm_cost start, int written) {
  trm_cost end = cost_now();
  trm_machine *m = session->machine;
  trm_text text = trm_reply(session);
  uint32_t bits;
  memcpy(&bits, &outcome->q_halt, 4);
  trm_put_words(&text, "solved");
  trm_put_field(&text, "steps", outcome->steps);
  trm_put_field(&text, "halted", outcome->halted);
  trm_put_words(&text, " q_bits=");
  trm_put_hex(&text, bits);
  trm_put_field(&text, "saturated", outcome->saturated);
  put_states(&text, m);
  trm_put_field(&text, "ticks", end.ticks - start.ticks);
  if (end.cycles) trm_put_field(&text, "cycles", end.cycles - start.cycles);
  trm_put_words(&text, written ? " answer=" : " tokens=");
  for (uint32_t t = 0; t < m->rows->seq; t++)
    trm_put(&text, trm_character(m->rows, m->answer[t], written));
  trm_send(&text);
}

/* A reset from here on loses a puzzle, and says so; the user may follow it. */
static void tell_step(void *context, uint32_t steps) {
  trm_session *session = context;
  trm_keep(session->id, steps);
  if (!session->progress) return;
  trm_text text = trm_reply(session);
  trm_put_words(&text, "step ");
  trm_put_number(&text, steps);
  trm_put_words(&text, " of ");
  trm_put_number(&text, session->depth.max_steps);
  trm_send(&text);
}

static trm_status run_solve(trm_session *session, trm_outcome *outcome) {
  trm_machine *m = session->machine;
  m->context = session;
  m->tell_step = tell_step;
  trm_keep(session->id, 0);
  board_begin();
  trm_status status = trm_solve(m, &session->depth, session->id, outcome);
  board_end();
  trm_keep_nothing();
  m->tell_step = NULL;
  return status;
}

static trm_status solve(trm_session *session, const char *arguments) {
  trm_outcome outcome;
  int written;
  trm_status status = read_puzzle(session, arguments, &session->id, &written);
  if (status.code) return status;
  trm_cost start = cost_now();
  status = run_solve(session, &outcome);
  if (!status.code) tell(session, &outcome, start, written);
  return status;
}

static trm_status once(trm_session *session, const char *arguments) {
  trm_times times;
  uint32_t id;
  int written;
  trm_status status = read_puzzle(session, arguments, &id, &written);
  if (!status.code) status = trm_time_once(session->machine, id, &times);
  if (status.code) return status;
  trm_text text = trm_reply(session);
  trm_put_words(&text, "once");
  trm_put_field(&text, "update_L", times.update_L);
  trm_put_field(&text, "update_H", times.update_H);
  trm_put_field(&text, "read_out", times.read_out);
  put_states(&text, session->machine);
  trm_send(&text);
  return status;
}

static void tell_verdict(trm_session *session, uint32_t index, const trm_verdict *verdict) {
  trm_text text = trm_reply(session);
  trm_put_words(&text, "vector ");
  trm_put_number(&text, index);
  trm_put_words(&text, trm_passed(verdict) ? " passed" : " failed");
  trm_put_field(&text, "wrong_cells", verdict->wrong_cells);
  trm_put_field(&text, "steps", verdict->steps);
  trm_put_field(&text, "wanted_steps", verdict->wanted_steps);
  trm_put_words(&text, verdict->states_differ ? " states=differ" : "");
  trm_send(&text);
}

static trm_status test(trm_session *session, const char *arguments) {
  uint32_t failed = 0;
  uint64_t start = board_ticks();
  if (*arguments) return trm_fail(TRM_NO_ARGUMENTS, 0, 0);
  if (session->vectors_status.code) return session->vectors_status;
  for (uint32_t i = 0; i < session->vectors->count; i++) {
    trm_verdict verdict;
    board_begin();
    trm_status status = trm_vectors_run(session->vectors, session->machine, i, &verdict);
    board_end();
    if (status.code) return status;
    failed += !trm_passed(&verdict);
    tell_verdict(session, i, &verdict);
  }
  trm_text text = trm_reply(session);
  trm_put_words(&text, "tested ");
  trm_put_number(&text, session->vectors->count);
  trm_put_words(&text, " failed ");
  trm_put_number(&text, failed);
  trm_put_field(&text, "ticks", board_ticks() - start);
  trm_send(&text);
  return trm_fine();
}

static trm_status profile(trm_session *session, const char *arguments) {
  const trm_block *block = session->machine->block;
  const trm_part *parts;
  uint32_t count = block->parts(block->context, &parts);
  if (*arguments) return trm_fail(TRM_NO_ARGUMENTS, 0, 0);
  for (uint32_t i = 0; i < count; i++) {
    trm_text text = trm_reply(session);
    trm_put_words(&text, "part ");
    trm_put_words(&text, parts[i].name);
    trm_put_field(&text, "calls", parts[i].calls);
    trm_put_field(&text, "ticks", parts[i].ticks);
    trm_send(&text);
  }
  trm_text text = trm_reply(session);
  trm_put_words(&text, "parts ");
  trm_put_number(&text, count);
  trm_send(&text);
  return trm_fine();
}

typedef trm_status (*command)(trm_session *session, const char *arguments);

trm_status trm_answer(trm_session *session, const char *line) {
  static const struct {
    const char *name;
    command run;
  } COMMANDS[] = {{"info", info}, {"set", set}, {"solve", solve},
                  {"once", once}, {"test", test}, {"profile", profile}};
  for (unsigned i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++) {
    const char *at = line;
    if (skip(&at, COMMANDS[i].name) && (!*at || *at == ' ')) return COMMANDS[i].run(session, at);
  }
  return trm_fail(!strncmp(line, "quit ", 5) ? TRM_NO_ARGUMENTS : TRM_UNKNOWN_COMMAND, 0, 0);
}
