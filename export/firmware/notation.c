#include "notation.h"

#include <string.h>

static const char TOKENS[] = "0123456789abcdefghijklmnopqrstuvwxyz";

/* Token -> what people write; the first is padding, which no puzzle has. */
static const char *const WRITTEN[TRM_KIND_COUNT] = {
    [TRM_UNKNOWN] = "", [TRM_SUDOKU] = "?.123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", [TRM_MAZE] = "?#.SGo"};
/* Other words for a token, and what does not count. */
static const char *const BLANKS[TRM_KIND_COUNT] = {"", "0_", " "};
static const uint8_t BLANK[TRM_KIND_COUNT] = {0, 1, 2};
static const char SKIPPED[TRM_KIND_COUNT] = {0, ' ', '/'};

static int is_written(trm_kind kind, const char *text) {
  if (kind == TRM_SUDOKU) return strpbrk(text, ".0_") != NULL;
  return kind == TRM_MAZE && text[strspn(text, "0123456789")];
}

static int token_of(trm_kind kind, char c, int written) {
  const char *at = strchr(written ? WRITTEN[kind] + 1 : TOKENS, c);
  if (at && written) return (int)(at - WRITTEN[kind]);
  if (at) return (int)(at - TOKENS);
  return written && strchr(BLANKS[kind], c) ? BLANK[kind] : -1;
}

trm_status trm_read_puzzle(const trm_rows *rows, const char *text, uint8_t *inputs, int *written) {
  trm_kind kind = rows->puzzles.kind;
  uint32_t cells = 0;
  *written = is_written(kind, text);
  for (const char *at = text; *at; at++) cells += !*written || *at != SKIPPED[kind];
  if (cells != rows->seq) return trm_fail(TRM_PUZZLE_SIZE, cells, rows->seq);
  for (cells = 0; *text; text++) {
    if (*written && *text == SKIPPED[kind]) continue;
    int token = token_of(kind, *text, *written);
    int padding = kind && !token; /* the file's readers never take it for a cell */
    if (token < 0 || padding || (uint32_t)token >= rows->vocab)
      return trm_fail(*written ? TRM_BAD_SYMBOL : TRM_BAD_TOKEN, cells,
                      *written ? (uint32_t)*text : rows->vocab);
    inputs[cells++] = (uint8_t)token;
  }
  return trm_fine();
}

char trm_character(const trm_rows *rows, uint8_t token, int written) {
  return written ? WRITTEN[rows->puzzles.kind][token] : TOKENS[token];
}
