/* Between start-up and board of the AN547. */
#ifndef TRM_AN547_H
#define TRM_AN547_H

#include "../../board.h"

void board_start(void);
void board_tick_overflow(void);
__attribute__((noreturn)) void board_exit(int code);

#endif
