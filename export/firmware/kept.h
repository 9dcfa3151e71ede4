/* What a reset leaves behind: which puzzle it cut short, and how far that was.

   Kept in memory that start-up does not clear. After power-on it holds anything: 64 bits must agree. */
#ifndef TRM_KEPT_H
#define TRM_KEPT_H

#include <stdint.h>

typedef struct {
  uint32_t mark, id, steps, check;
} trm_kept;

/* A puzzle is being solved, so many supervision steps of it are done. */
void trm_keep(uint32_t id, uint32_t steps);
/* None is. */
void trm_keep_nothing(void);
/* Whether a reset cut a puzzle short; told once. */
int trm_take_lost(uint32_t *id, uint32_t *steps);

#endif
