/* The networks as the loop sees them: TFLM (tflm/), or a test double (doubles/).

   The injection is written where the block wants it (TFLM: straight into the arena), z is updated
   in place. The carry's layout is positions x emb, row-major, on both sides. */
#ifndef TRM_BLOCK_H
#define TRM_BLOCK_H

#include "bytes.h"
#include "carry.h"
#include "rows.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which state is updated: TRM has one network for both, HRM two. */
typedef enum { TRM_UPDATE_L = 0, TRM_UPDATE_H = 1 } trm_role;

/* Read-out of z_H; `logits` (seq x vocab) are valid until the next call of the block. */
typedef struct {
  const void *logits;
  float q_halt, q_continue; /* real values; exact order for integer heads */
} trm_outputs;

/* What the operators of one kind took since the start. */
typedef struct {
  const char *name;
  uint32_t calls;
  uint64_t ticks;
} trm_part;

typedef struct {
  void *context;
  const uint8_t *model_id; /* 32 bytes, SHA-256 of all graphs' files, in order */
  trm_type carry, logits;
  uint32_t positions, emb, seq, vocab;
  uint32_t arena_bytes; /* of the arena: what the networks use */
  void *(*injection)(void *context, trm_role role);
  trm_status (*apply)(void *context, trm_role role, void *z);
  trm_status (*read_out)(void *context, const void *z_H, trm_outputs *outputs);
  /* Returns how many kinds there are. */
  uint32_t (*parts)(void *context, const trm_part **parts);
} trm_block;

/* Open the block that this firmware was linked with.

   rows: only the double looks at them, it has no shape of its own. */
trm_status trm_open_block(trm_block *block, const trm_rows *rows, trm_memory *memory);

#ifdef __cplusplus
}
#endif
#endif
