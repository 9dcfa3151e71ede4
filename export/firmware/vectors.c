#include "vectors.h"

enum { HEADER_BYTES = 80, RECORD_BYTES = 16, CHECKED_FROM = 16 };

static void read_at(const trm_vectors *v, uint32_t offset, void *to, uint32_t bytes) {
  v->flash.read(v->flash.context, v->at + offset, to, bytes);
}

static trm_halting read_halting(const uint8_t *header) {
  return (trm_halting){.rule = (trm_halt_rule)trm_u16(header + 62),
                       .bound = (int32_t)trm_u32(header + 64)};
}

static trm_status check_fields(const trm_rows *rows, const uint8_t *header, uint32_t bytes) {
  if (memcmp(header + 16, rows->model_id, TRM_MODEL_ID_BYTES))
    return trm_fail(TRM_OTHER_MODEL, trm_hash_begin(header + 16),
                    trm_hash_begin(rows->model_id));
  if (trm_u16(header + 48) != rows->seq)
    return trm_fail(TRM_VECTOR_FILE_FIELD, trm_u16(header + 48), 48);
  if (trm_u16(header + 50) > 1) return trm_fail(TRM_VECTOR_FILE_FIELD, trm_u16(header + 50), 50);
  uint64_t stride = RECORD_BYTES + (((uint64_t)rows->seq * 2 + 3) & ~(uint64_t)3);
  uint64_t end = (HEADER_BYTES + trm_u32(header + 52) * stride + 15) & ~(uint64_t)15;
  if (end != bytes) return trm_fail(TRM_VECTOR_FILE_FIELD, trm_u32(header + 52), 52);
  for (uint32_t at = 56; at < 64; at += 2) {
    uint32_t value = trm_u16(header + at), low = at < 62, high = at < 62 ? 1024 : TRM_HALT_COUNT - 1;
    if (value < low || value > high) return trm_fail(TRM_VECTOR_FILE_FIELD, value, at);
  }
  if (!trm_halting_fits(read_halting(header)))
    return trm_fail(TRM_VECTOR_FILE_FIELD, trm_u32(header + 64), 64);
  if (rows->puzzles.kind == TRM_UNKNOWN && trm_u16(header + 62) == TRM_HALT_RULES)
    return trm_fail(TRM_VECTOR_FILE_FIELD, TRM_HALT_RULES, 62);
  for (uint32_t at = 68; at < HEADER_BYTES; at += 4)
    if (trm_u32(header + at)) return trm_fail(TRM_VECTOR_FILE_FIELD, trm_u32(header + at), at);
  return trm_fine();
}

static uint32_t checksum(const trm_vectors *v, uint32_t bytes) {
  uint8_t piece[16]; /* files are multiples of 16 bytes */
  uint32_t crc = 0;
  for (uint32_t from = CHECKED_FROM; from < bytes; from += sizeof piece) {
    read_at(v, from, piece, sizeof piece);
    crc = trm_crc32(crc, piece, sizeof piece);
  }
  return crc;
}

trm_status trm_vectors_open(trm_vectors *vectors, const trm_rows *rows) {
  uint8_t header[HEADER_BYTES];
  *vectors = (trm_vectors){.flash = rows->flash, .at = rows->file_bytes};
  uint32_t room = rows->flash.bytes - rows->file_bytes;
  if (room < HEADER_BYTES) return trm_fail(TRM_NO_VECTOR_FILE, 0, 0);
  read_at(vectors, 0, header, HEADER_BYTES);
  uint32_t bytes = trm_u32(header + 8);
  if (memcmp(header, "TRMVECT2", 8)) return trm_fail(TRM_NO_VECTOR_FILE, 0, 0);
  if (bytes > room) return trm_fail(TRM_VECTOR_FILE_FIELD, bytes, 8);
  trm_status status = check_fields(rows, header, bytes);
  if (status.code) return status;
  uint32_t found = checksum(vectors, bytes);
  if (found != trm_u32(header + 12))
    return trm_fail(TRM_VECTOR_FILE_DAMAGED, found, trm_u32(header + 12));
  vectors->seq = rows->seq;
  vectors->stride = RECORD_BYTES + ((rows->seq * 2 + 3) & ~3u);
  vectors->states = (int)trm_u16(header + 50);
  vectors->count = trm_u32(header + 52);
  vectors->depth = (trm_depth){.H_cycles = trm_u16(header + 56),
                               .L_cycles = trm_u16(header + 58),
                               .max_steps = trm_u16(header + 60),
                               .halting = read_halting(header)};
  return trm_fine();
}

static uint32_t wrong_cells(const trm_vectors *v, uint32_t at, const uint8_t *answer) {
  uint32_t wrong = 0;
  for (uint32_t t = 0; t < v->seq; t++) {
    uint8_t wanted;
    read_at(v, at + t, &wanted, 1);
    wrong += wanted != answer[t];
  }
  return wrong;
}

trm_status trm_vectors_run(const trm_vectors *vectors, trm_machine *machine, uint32_t index,
                           trm_verdict *verdict) {
  uint8_t record[RECORD_BYTES];
  trm_outcome outcome;
  uint32_t at = HEADER_BYTES + index * vectors->stride, bytes = trm_state_bytes(machine->rows);
  read_at(vectors, at, record, RECORD_BYTES);
  read_at(vectors, at + RECORD_BYTES, machine->inputs, vectors->seq);
  trm_status status = trm_solve(machine, &vectors->depth, trm_u32(record), &outcome);
  if (status.code) return status;
  *verdict = (trm_verdict){
      .wrong_cells = wrong_cells(vectors, at + RECORD_BYTES + vectors->seq, machine->answer),
      .steps = outcome.steps,
      .wanted_steps = trm_u32(record + 4),
      .states_differ = vectors->states &&
                       (trm_crc32(0, machine->z_H, bytes) != trm_u32(record + 8) ||
                        trm_crc32(0, machine->z_L, bytes) != trm_u32(record + 12))};
  return trm_fine();
}

int trm_passed(const trm_verdict *verdict) {
  return !verdict->wrong_cells && !verdict->states_differ &&
         verdict->steps == verdict->wanted_steps;
}
