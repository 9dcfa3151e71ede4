/* A test double for a network that is cut into graphs: integers that any language computes.

   Heads of 2 columns, emb of them in pairs; two blocks of the same weights. Its graphs and their
   tensors, as export/lowering/stages.py cuts (heads = 2, tokens = 4):

     0            z, injection -> h     4 rows        (4 z + 2 injection + 4) >> 3
     1, 2, ...    h -> mixed, mixed     all rows      (h[p][c] + 2 h[p + 1 mod rows][c]) >> 2
     last         h, mixed -> h         4 rows        (4 h + 3 mixed - h[p][c + 1 mod emb] + 4) >> 3

   Graphs 1, 2, ... give two heads each, the last of them what is left. All tensors lie in the same
   bytes, inputs first, as an arena's do. Read-out: as affine_block.c, and so is the model id. */
#include <string.h>

#include "../block.h"
#include "../board.h"
#include "../stages.h"

enum { TOKENS = 4, HEAD = 2, HEADS = 2, MOST_STAGES = 16, BLOCKS = 2 };

typedef struct {
  trm_type type;
  uint32_t prefix, positions, seq, emb, vocab, groups;
  uint8_t *tensors; /* of every graph */
  void *logits;
  trm_sequence sequence;
} staged;

static staged state;
static trm_stage stages[MOST_STAGES];
static trm_part call = {.name = "STAGE"};

static uint32_t last_graph(const staged *s) { return s->groups + 1; }

static int is_heads(const staged *s, uint32_t graph) { return graph && graph != last_graph(s); }

static uint32_t heads_in(const staged *s, uint32_t graph) {
  uint32_t left = s->emb / HEAD - (graph - 1) * HEADS;
  return left < HEADS ? left : HEADS;
}

static trm_end end_at(const staged *s, uint32_t offset, uint32_t rows, uint32_t width) {
  return (trm_end){s->tensors + offset, rows, width, trm_size(s->type)};
}

static trm_end input(void *context, uint32_t graph, uint32_t index) {
  const staged *s = context;
  uint32_t rows = is_heads(s, graph) ? s->positions : TOKENS;
  return end_at(s, index * rows * s->emb * trm_size(s->type), rows, s->emb);
}

/* Behind the inputs: a graph of heads has one, the others two. */
static trm_end output(void *context, uint32_t graph, uint32_t index) {
  const staged *s = context;
  uint32_t size = trm_size(s->type);
  if (!is_heads(s, graph)) return end_at(s, 2 * TOKENS * s->emb * size, TOKENS, s->emb);
  uint32_t offset = s->positions * (s->emb + index * HEAD) * size;
  return end_at(s, offset, s->positions, HEAD);
}

static int32_t get(const staged *s, const trm_end *end, uint32_t i) {
  return s->type == TRM_INT16 ? ((const int16_t *)end->data)[i] : ((const int8_t *)end->data)[i];
}

static void put(const staged *s, const trm_end *end, uint32_t i, int32_t value) {
  if (s->type == TRM_INT16)
    ((int16_t *)end->data)[i] = (int16_t)value;
  else
    ((int8_t *)end->data)[i] = (int8_t)value;
}

static void run_heads(const staged *s, uint32_t graph) {
  trm_end h = input(&state, graph, 0);
  for (uint32_t head = 0; head < heads_in(s, graph); head++) {
    trm_end mixed = output(&state, graph, head);
    uint32_t column = ((graph - 1) * HEADS + head) * HEAD;
    for (uint32_t p = 0; p < s->positions; p++)
      for (uint32_t c = 0; c < HEAD; c++) {
        uint32_t next = (p + 1) % s->positions * s->emb + column + c;
        int32_t sum = get(s, &h, p * s->emb + column + c) + 2 * get(s, &h, next);
        put(s, &mixed, p * HEAD + c, sum >> 2);
      }
  }
}

static void run_rows(const staged *s, uint32_t graph) {
  trm_end a = input(&state, graph, 0), b = input(&state, graph, 1), out = output(&state, graph, 0);
  int is_last = graph == last_graph(s);
  for (uint32_t i = 0; i < TOKENS * s->emb; i++) {
    uint32_t next = i / s->emb * s->emb + (i + 1) % s->emb;
    int32_t sum = 4 * get(s, &a, i) + (is_last ? 3 : 2) * get(s, &b, i);
    put(s, &out, i, (sum - (is_last ? get(s, &a, next) : 0) + 4) >> 3);
  }
}

static trm_status run(void *context, uint32_t graph) {
  const staged *s = context;
  uint64_t start = board_ticks();
  if (is_heads(s, graph))
    run_heads(s, graph);
  else
    run_rows(s, graph);
  call.ticks += board_ticks() - start;
  call.calls++;
  return trm_fine();
}

static const trm_graphs GRAPHS = {&state, input, output, run};

static void *injection(void *context, trm_role role) {
  (void)role;
  return ((staged *)context)->sequence.work;
}

static trm_status apply(void *context, trm_role role, void *z) {
  (void)role;
  return trm_run_stages(&((staged *)context)->sequence, &GRAPHS, z);
}

static uint32_t parts(void *context, const trm_part **found) {
  (void)context;
  *found = &call;
  return 1;
}

static trm_status read_out(void *context, const void *z_H, trm_outputs *outputs) {
  const staged *s = context;
  const trm_end z = {(void *)z_H, s->positions, s->emb, trm_size(s->type)};
  const trm_end logits = {s->logits, s->seq, s->vocab, trm_size(s->type)};
  for (uint32_t i = 0; i < s->seq * s->vocab; i++) {
    uint32_t cell = s->prefix + i / s->vocab;
    put(s, &logits, i, get(s, &z, cell * s->emb + i % s->vocab % s->emb));
  }
  *outputs = (trm_outputs){.logits = s->logits, .q_continue = (float)get(s, &z, 0)};
  for (uint32_t c = 0; c < s->emb; c++) outputs->q_halt += (float)get(s, &z, c);
  return trm_fine();
}

static uint32_t write_stages(const staged *s) {
  uint32_t count = 0;
  stages[count++] = (trm_stage){0, 2, 1, {TRM_Z, TRM_WORK}, TRM_Z, 0};
  for (uint32_t block = 0; block < BLOCKS; block++) {
    for (uint32_t g = 1; g <= s->groups; g++)
      stages[count++] = (trm_stage){g, 1, heads_in(s, g), {TRM_Z, TRM_Z}, TRM_WORK,
                                    (g - 1) * HEADS * HEAD};
    stages[count++] = (trm_stage){last_graph(s), 2, 1, {TRM_Z, TRM_WORK}, TRM_Z, 0};
  }
  return count;
}

trm_status trm_open_block(trm_block *block, const trm_rows *rows, trm_memory *memory) {
  static const uint8_t ID[] = "affine test double, no real one.";
  uint32_t positions = rows->prefix + rows->seq, size = trm_size(rows->type);
  uint32_t groups = (rows->emb / HEAD + HEADS - 1) / HEADS;
  if (rows->type == TRM_FLOAT32) return trm_fail(TRM_OTHER_TYPE, rows->type, TRM_INT8);
  if (rows->emb % HEAD || 1 + BLOCKS * (groups + 1) > MOST_STAGES)
    return trm_fail(TRM_OTHER_SHAPE, rows->emb, HEAD);
  state = (staged){.type = rows->type, .prefix = rows->prefix, .positions = positions,
                   .seq = rows->seq, .emb = rows->emb, .vocab = rows->vocab, .groups = groups};
  uint32_t before = memory->used, all = positions > 3 * TOKENS ? 2 * positions : 6 * TOKENS;
  void *work = NULL, *tensors = NULL;
  uint32_t count = write_stages(&state);
  trm_status status = trm_check_stages(stages, count, groups + 2);
  if (!status.code) status = trm_take(memory, positions * rows->emb * size, &work);
  if (!status.code) status = trm_take(memory, all * rows->emb * size, &tensors);
  if (!status.code) status = trm_take(memory, rows->seq * rows->vocab * size, &state.logits);
  state.tensors = tensors;
  state.sequence = (trm_sequence){stages, count, positions, rows->emb, work};
  *block = (trm_block){.context = &state, .model_id = ID, .carry = rows->type,
                       .logits = rows->type, .positions = positions, .emb = rows->emb,
                       .seq = rows->seq, .vocab = rows->vocab,
                       .arena_bytes = memory->used - before, .injection = injection,
                       .apply = apply, .read_out = read_out, .parts = parts};
  return status;
}
