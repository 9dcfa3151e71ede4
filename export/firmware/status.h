/* What can go wrong, in words: every refusal says what was found, what is right, what to do.

   A status is a code and two numbers; the words stand in status.c with %g for `got` and %w for
   `wanted`, %G and %W in hexadecimal. Nothing here allocates. */
#ifndef TRM_STATUS_H
#define TRM_STATUS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  TRM_OK = 0,
  /* flash */
  TRM_NO_ROW_FILE = 1,
  TRM_ROW_FILE_SIZE,
  TRM_ROW_FILE_DAMAGED,
  TRM_ROW_FILE_FIELD,
  TRM_ROW_DAMAGED,
  TRM_NO_VECTOR_FILE,
  TRM_VECTOR_FILE_DAMAGED,
  TRM_VECTOR_FILE_FIELD,
  TRM_OTHER_MODEL,
  TRM_GRAPH_DAMAGED,
  /* start */
  TRM_NO_ROOM = 20,
  TRM_OTHER_SHAPE,
  TRM_OTHER_TYPE,
  TRM_MODEL_VERSION,
  TRM_MODEL_OPERATORS,
  TRM_ARENA_TOO_SMALL,
  TRM_MODEL_ENDS,
  TRM_CARRY_RANGES,
  TRM_INVOKE,
  TRM_STAGE_FIELDS,
  /* requests */
  TRM_LINE_TOO_LONG = 40,
  TRM_CHECKSUM,
  TRM_UNKNOWN_COMMAND,
  TRM_BAD_SETTING,
  TRM_DEPTH_RANGE,
  TRM_BAD_NUMBER,
  TRM_PUZZLE_ID,
  TRM_PUZZLE_SIZE,
  TRM_BAD_TOKEN,
  TRM_BAD_CHARACTER,
  TRM_NO_ARGUMENTS,
  TRM_BAD_SYMBOL,
  TRM_NO_RULES,
  TRM_STOPPED,
  TRM_INPUT_LOST,
  TRM_STATUS_COUNT
} trm_code;

typedef struct {
  trm_code code;
  uint32_t got, wanted;
} trm_status;

#ifdef __cplusplus
/* C++17 has no compound literals */
static inline trm_status trm_fail(trm_code code, uint32_t got, uint32_t wanted) {
  trm_status status = {code, got, wanted};
  return status;
}
#else
static inline trm_status trm_fail(trm_code code, uint32_t got, uint32_t wanted) {
  return (trm_status){.code = code, .got = got, .wanted = wanted};
}
#endif

static inline trm_status trm_fine(void) { return trm_fail(TRM_OK, 0, 0); }

/* Words of a code, with %g, %w, %G or %W where the numbers go. */
const char *trm_words(trm_code code);

#ifdef __cplusplus
}
#endif
#endif
