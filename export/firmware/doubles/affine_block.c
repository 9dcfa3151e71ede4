/* A test double for the networks: an affine update that any language computes with the same bits.

   With i over all elements of a state and n(i) = (i + emb + 1) mod count (the next position's next
   channel, so errors travel):

     L:  integers (4 z[i] + 2 injection[i] - z[n(i)] + 4) >> 3
         floats   (0.5 z[i] + 0.25 injection[i]) - 0.125 z[n(i)]
     H:  the same with injection[n(i)] in place of z[n(i)]

   No result leaves the type's range (the factors sum to less than 1). Read-out, p = prefix:

     logits[t][v] = z_H[p + t][v mod emb]
     q_halt = sum of z_H[0], in order;  q_continue = z_H[0][0]

   Its one kind of operator is AFFINE, the update. It takes its shape from the row file, and its model id is the text below. */
#include <string.h>

#include "../block.h"
#include "../board.h"

typedef struct {
  trm_type type;
  uint32_t prefix, seq, emb, vocab;
  void *injection, *old, *logits;
} affine;

static affine state;
static trm_part update = {.name = "AFFINE"};

static void *injection(void *context, trm_role role) {
  (void)role;
  return ((affine *)context)->injection;
}

static int64_t integer_at(trm_type type, const void *values, uint32_t i) {
  return type == TRM_INT16 ? ((const int16_t *)values)[i] : ((const int8_t *)values)[i];
}

static void update_integers(const affine *a, const void *third, uint32_t count, void *z) {
  for (uint32_t i = 0; i < count; i++) {
    int64_t sum = 4 * integer_at(a->type, a->old, i) + 2 * integer_at(a->type, a->injection, i) -
                  integer_at(a->type, third, (i + a->emb + 1) % count);
    if (a->type == TRM_INT16)
      ((int16_t *)z)[i] = (int16_t)((sum + 4) >> 3);
    else
      ((int8_t *)z)[i] = (int8_t)((sum + 4) >> 3);
  }
}

static void update_floats(const affine *a, const float *third, uint32_t count, float *z) {
  const float *old = a->old, *added = a->injection;
  for (uint32_t i = 0; i < count; i++)
    z[i] = (0.5f * old[i] + 0.25f * added[i]) - 0.125f * third[(i + a->emb + 1) % count];
}

static trm_status apply(void *context, trm_role role, void *z) {
  const affine *a = context;
  uint32_t count = (a->prefix + a->seq) * a->emb;
  const void *third = role == TRM_UPDATE_L ? a->old : a->injection;
  uint64_t start = board_ticks();
  memcpy(a->old, z, count * trm_size(a->type));
  if (a->type == TRM_FLOAT32)
    update_floats(a, third, count, z);
  else
    update_integers(a, third, count, z);
  update.ticks += board_ticks() - start;
  update.calls++;
  return trm_fine();
}

static uint32_t parts(void *context, const trm_part **found) {
  (void)context;
  *found = &update;
  return 1;
}

static float real_at(trm_type type, const void *values, uint32_t i) {
  return type == TRM_FLOAT32 ? ((const float *)values)[i] : (float)integer_at(type, values, i);
}

static trm_status read_out(void *context, const void *z_H, trm_outputs *outputs) {
  const affine *a = context;
  uint32_t size = trm_size(a->type);
  const uint8_t *cells = (const uint8_t *)z_H + a->prefix * a->emb * size;
  for (uint32_t i = 0; i < a->seq * a->vocab; i++)
    memcpy((uint8_t *)a->logits + i * size,
           cells + (i / a->vocab * a->emb + i % a->vocab % a->emb) * size, size);
  outputs->logits = a->logits;
  outputs->q_halt = 0.0f;
  for (uint32_t c = 0; c < a->emb; c++) outputs->q_halt += real_at(a->type, z_H, c);
  outputs->q_continue = real_at(a->type, z_H, 0);
  return trm_fine();
}

trm_status trm_open_block(trm_block *block, const trm_rows *rows, trm_memory *memory) {
  static const uint8_t ID[] = "affine test double, no real one.";
  state = (affine){.type = rows->type, .prefix = rows->prefix, .seq = rows->seq,
                   .emb = rows->emb, .vocab = rows->vocab};
  uint32_t positions = rows->prefix + rows->seq, size = trm_size(rows->type);
  uint32_t before = memory->used;
  trm_status status = trm_take(memory, positions * rows->emb * size, &state.injection);
  if (!status.code) status = trm_take(memory, positions * rows->emb * size, &state.old);
  if (!status.code) status = trm_take(memory, rows->seq * rows->vocab * size, &state.logits);
  *block = (trm_block){.context = &state, .model_id = ID, .carry = rows->type,
                       .logits = rows->type, .positions = positions, .emb = rows->emb,
                       .seq = rows->seq, .vocab = rows->vocab,
                       .arena_bytes = memory->used - before, .injection = injection,
                       .apply = apply, .read_out = read_out, .parts = parts};
  return status;
}
