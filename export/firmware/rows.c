#include "rows.h"

enum { HEADER_BYTES = 144, CHECKED_FROM = 16, MOST = 1 << 24, MOST_CYCLES = 1024 };

static trm_status check_field(const uint8_t *header, uint32_t at, uint32_t low, uint32_t high) {
  uint32_t value = trm_u32(header + at);
  return value < low || value > high ? trm_fail(TRM_ROW_FILE_FIELD, value, at) : trm_fine();
}

/* Two products of 32 and 16 bits stay below 2^48: with an offset of 2^62 at most no sum overflows. */
static trm_status check_offset(const uint8_t *header, uint32_t at) {
  const int64_t most = (int64_t)1 << 62;
  int64_t offset = trm_i64(header + at);
  if (offset >= -most && offset <= most) return trm_fine();
  return trm_fail(TRM_ROW_FILE_FIELD, trm_u32(header + at + 4), at + 4);
}

static trm_status check_fields(const uint8_t *header) {
  static const struct {
    uint8_t at;
    uint32_t low, high;
  } FIELDS[] = {
      {48, 0, TRM_TYPE_COUNT - 1}, {52, 1, 36},    {56, 1, 1 << 16}, {60, 0, 1 << 16},
      {64, 1, 1 << 16},            {68, 1, MOST},  {72, 0, MOST},    {104, 0, 0},
      {108, 0, 62},                {116, 0, 0},    {128, 0, 0},      {132, 0, 62},
      {140, 0, 0},
  };
  for (unsigned i = 0; i < sizeof FIELDS / sizeof FIELDS[0]; i++) {
    trm_status status = check_field(header, FIELDS[i].at, FIELDS[i].low, FIELDS[i].high);
    if (status.code) return status;
  }
  for (uint32_t at = 76; at < 84; at += 2) {
    uint32_t value = trm_u16(header + at), low = at < 82, high = at < 82 ? MOST_CYCLES : TRM_HALT_COUNT - 1;
    if (value < low || value > high) return trm_fail(TRM_ROW_FILE_FIELD, value, at);
  }
  trm_status status = check_offset(header, 96);
  return status.code ? status : check_offset(header, 120);
}

/* Sizes that a kind of puzzle has at its shape. */
static int fits_shape(const trm_rows *rows) {
  uint32_t cells = rows->puzzles.rows * rows->puzzles.columns;
  switch (rows->puzzles.kind) {
    case TRM_UNKNOWN: return !rows->puzzles.rows && !rows->puzzles.columns;
    case TRM_SUDOKU: return rows->seq == cells * cells && rows->vocab == cells + 2;
    case TRM_MAZE: return rows->seq == cells && rows->vocab == 6;
    default: return 0;
  }
}

static trm_combine read_combine(const uint8_t *at) {
  return (trm_combine){.z_factor = (int32_t)trm_u32(at),
                       .e_factor = (int32_t)trm_u32(at + 4),
                       .offset = trm_i64(at + 8),
                       .shift = trm_u32(at + 20)};
}

static void read_fields(trm_rows *rows, const uint8_t *header) {
  memcpy(rows->model_id, header + 16, TRM_MODEL_ID_BYTES);
  rows->type = (trm_type)trm_u32(header + 48);
  rows->vocab = trm_u32(header + 52);
  rows->seq = trm_u32(header + 56);
  rows->prefix = trm_u32(header + 60);
  rows->emb = trm_u32(header + 64);
  rows->ids = trm_u32(header + 68);
  rows->id_emb = trm_u32(header + 72);
  rows->depth = (trm_depth){.H_cycles = trm_u16(header + 76),
                            .L_cycles = trm_u16(header + 78),
                            .max_steps = trm_u16(header + 80),
                            .halting = {.rule = (trm_halt_rule)trm_u16(header + 82),
                                        .bound = (int32_t)trm_u32(header + 136)}};
  rows->puzzles = (trm_puzzles){
      .kind = (trm_kind)trm_u16(header + 84), .rows = header[86], .columns = header[87]};
  rows->combine_L = read_combine(header + 88);
  rows->combine_H = read_combine(header + 112);
}

/* Where the parts lie; in 64 bits, for sizes may be anything. Returns the end. */
static uint64_t lay_out(trm_rows *rows) {
  uint64_t size = trm_size(rows->type);
  uint64_t shared = (2 + (uint64_t)rows->vocab) * rows->emb * size;
  uint64_t puzzles = (HEADER_BYTES + shared + 15) & ~(uint64_t)15;
  uint64_t checksums = puzzles + (((uint64_t)rows->ids * rows->id_emb * size + 15) & ~(uint64_t)15);
  rows->rows_at = HEADER_BYTES;
  rows->puzzles_at = (uint32_t)puzzles;
  rows->checksums_at = (uint32_t)checksums;
  return (checksums + (uint64_t)rows->ids * 4 + 15) & ~(uint64_t)15;
}

static uint32_t checksum(const trm_flash *flash, uint32_t from, uint32_t to) {
  uint8_t piece[64];
  uint32_t crc = 0;
  while (from < to) {
    uint32_t bytes = to - from < sizeof piece ? to - from : (uint32_t)sizeof piece;
    flash->read(flash->context, from, piece, bytes);
    crc = trm_crc32(crc, piece, bytes);
    from += bytes;
  }
  return crc;
}

trm_status trm_rows_open(trm_rows *rows, trm_flash flash) {
  uint8_t header[HEADER_BYTES];
  *rows = (trm_rows){.flash = flash};
  if (flash.bytes < HEADER_BYTES) return trm_fail(TRM_NO_ROW_FILE, flash.bytes, HEADER_BYTES);
  flash.read(flash.context, 0, header, HEADER_BYTES);
  if (memcmp(header, "TRMROWS1", 8)) return trm_fail(TRM_NO_ROW_FILE, 0, 0);
  rows->file_bytes = trm_u32(header + 8);
  if (rows->file_bytes > flash.bytes)
    return trm_fail(TRM_ROW_FILE_SIZE, rows->file_bytes, flash.bytes);
  trm_status status = check_fields(header);
  if (status.code) return status;
  read_fields(rows, header);
  if (!fits_shape(rows)) return trm_fail(TRM_ROW_FILE_FIELD, trm_u32(header + 84), 84);
  if (!trm_halting_fits(rows->depth.halting))
    return trm_fail(TRM_ROW_FILE_FIELD, trm_u32(header + 136), 136);
  if (rows->depth.halting.rule == TRM_HALT_RULES && rows->puzzles.kind == TRM_UNKNOWN)
    return trm_fail(TRM_ROW_FILE_FIELD, TRM_HALT_RULES, 82);
  if (lay_out(rows) != rows->file_bytes || (uint64_t)rows->prefix * rows->emb < rows->id_emb)
    return trm_fail(TRM_ROW_FILE_FIELD, rows->file_bytes, 8);
  uint32_t found = checksum(&flash, CHECKED_FROM, rows->puzzles_at);
  rows->crc = trm_u32(header + 12);
  return found == rows->crc ? trm_fine() : trm_fail(TRM_ROW_FILE_DAMAGED, found, rows->crc);
}

static uint32_t puzzle_at(const trm_rows *rows, uint32_t id) {
  return rows->puzzles_at + id * rows->id_emb * trm_size(rows->type);
}

trm_status trm_rows_check_puzzle(const trm_rows *rows, uint32_t id) {
  uint8_t stored[4];
  if (id >= rows->ids) return trm_fail(TRM_PUZZLE_ID, id, rows->ids);
  rows->flash.read(rows->flash.context, rows->checksums_at + 4 * id, stored, 4);
  uint32_t from = puzzle_at(rows, id), bytes = rows->id_emb * trm_size(rows->type);
  if (checksum(&rows->flash, from, from + bytes) != trm_u32(stored))
    return trm_fail(TRM_ROW_DAMAGED, id, trm_u32(stored));
  return trm_fine();
}

/* Shared rows: L_init, H_init, then a row per token. */
static void read_shared(const trm_rows *rows, uint32_t index, void *row) {
  uint32_t bytes = rows->emb * trm_size(rows->type);
  rows->flash.read(rows->flash.context, rows->rows_at + index * bytes, row, bytes);
}

void trm_read_L_init(const trm_rows *rows, void *row) { read_shared(rows, 0, row); }

void trm_read_H_init(const trm_rows *rows, void *row) { read_shared(rows, 1, row); }

int trm_read_embedding(const trm_rows *rows, uint32_t id, const uint8_t *tokens, uint32_t position,
                       void *row) {
  if (position >= rows->prefix) {
    read_shared(rows, 2 + tokens[position - rows->prefix], row);
    return 1;
  }
  uint32_t first = position * rows->emb, size = trm_size(rows->type);
  if (first >= rows->id_emb) return 0;
  uint32_t count = rows->id_emb - first < rows->emb ? rows->id_emb - first : rows->emb;
  memset((uint8_t *)row + count * size, 0, (rows->emb - count) * size);
  rows->flash.read(rows->flash.context, puzzle_at(rows, id) + first * size, row, count * size);
  return 1;
}
