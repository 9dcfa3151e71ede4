#include "kept.h"

#include "board.h"

enum { MARK = 0x4C05D0CE };

static uint32_t check_of(const trm_kept *kept) {
  return trm_crc32(0, (const uint8_t *)kept, 12);
}

void trm_keep(uint32_t id, uint32_t steps) {
  trm_kept *kept = board_kept();
  if (!kept) return;
  *kept = (trm_kept){.mark = MARK, .id = id, .steps = steps};
  kept->check = check_of(kept);
}

void trm_keep_nothing(void) {
  trm_kept *kept = board_kept();
  if (kept) kept->mark = 0;
}

int trm_take_lost(uint32_t *id, uint32_t *steps) {
  trm_kept *kept = board_kept();
  if (!kept || kept->mark != MARK || kept->check != check_of(kept)) return 0;
  *id = kept->id;
  *steps = kept->steps;
  trm_keep_nothing();
  return 1;
}
