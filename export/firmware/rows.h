/* The row file: everything a model needs besides its graphs, streamed from flash row by row.

   Bytes are written down in export/cortex_m/row_file.py. Opening checks magic, size, fields and the
   checksum of all but the puzzle rows; a puzzle row is checked when it is asked for, so start-up
   does not read a table of 100 MB. */
#ifndef TRM_ROWS_H
#define TRM_ROWS_H

#include "bytes.h"
#include "carry.h"
#include "flash.h"
#include "halting.h"
#include "status.h"

#define TRM_MODEL_ID_BYTES 32

/* What a puzzle is, and its shape: rows and columns of a Sudoku's box, of a maze's grid. */
typedef enum { TRM_UNKNOWN = 0, TRM_SUDOKU = 1, TRM_MAZE = 2, TRM_KIND_COUNT } trm_kind;

typedef struct {
  trm_kind kind;
  uint32_t rows, columns; /* 0 where the kind is unknown */
} trm_puzzles;

/* How far to think; all free at run time. */
typedef struct {
  uint32_t H_cycles, L_cycles, max_steps;
  trm_halting halting;
} trm_depth;

typedef struct {
  trm_flash flash;
  uint32_t file_bytes;
  uint32_t crc; /* of all but the puzzle rows */
  uint8_t model_id[TRM_MODEL_ID_BYTES];
  trm_type type;
  uint32_t vocab, seq, prefix, emb, ids, id_emb;
  trm_depth depth;
  trm_puzzles puzzles;
  trm_combine combine_L, combine_H;
  uint32_t rows_at, puzzles_at, checksums_at; /* byte offsets; the first row is L_init */
} trm_rows;

/* Read and check the head of a row file. */
trm_status trm_rows_open(trm_rows *rows, trm_flash flash);

/* Check the stored row of a puzzle. */
trm_status trm_rows_check_puzzle(const trm_rows *rows, uint32_t id);

void trm_read_L_init(const trm_rows *rows, void *row);
void trm_read_H_init(const trm_rows *rows, void *row);

/* Read the embedding of one position: of a prefix position (part of the puzzle's row) or of a
   cell (its token's row). Returns false where the embedding is zero: nothing was read. */
int trm_read_embedding(const trm_rows *rows, uint32_t id, const uint8_t *tokens, uint32_t position,
                       void *row);

#endif
