/* What a board gives the firmware. */
#ifndef TRM_BOARD_H
#define TRM_BOARD_H

#include "bytes.h"
#include "flash.h"
#include "kept.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Next character of the console; BOARD_END when there will be none any more, BOARD_LOST where some
   could not be kept. */
enum { BOARD_END = -1, BOARD_LOST = -2 };
int board_read(void);
void board_write(char c);

/* Time since the start, and its unit. On Cortex-M: SysTick, which counts CPU cycles. */
uint64_t board_ticks(void);
uint32_t board_ticks_per_second(void);

/* Cycles of the core by its own counter since the start; 0: it has none, or it does not count. */
uint64_t board_cycles(void);

/* Most bytes of the stack that were in use so far; 0: this board does not tell. */
uint32_t board_stack_used(void);

/* A computation begins and ends. In between a watchdog runs, which starts the board again and is fed
   by `board_goes_on`, and a Ctrl-C of the console asks for the end: then that returns 0. A board
   without them always goes on. */
void board_begin(void);
int board_goes_on(void);
void board_end(void);

/* Memory that a reset leaves as it is; NULL: there is none. */
trm_kept *board_kept(void);

/* Row file and vectors. */
trm_flash board_flash(void);
/* Memory of the states (not TFLM's arena). */
trm_memory board_memory(void);

#ifdef __cplusplus
}
#endif
#endif
