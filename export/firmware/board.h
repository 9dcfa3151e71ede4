/* What a board gives the firmware. */
#ifndef TRM_BOARD_H
#define TRM_BOARD_H

#include "bytes.h"
#include "flash.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Next character of the console; -1 when there will be none any more. */
int board_read(void);
void board_write(char c);

/* Time since the start, and its unit. On Cortex-M: SysTick, which counts CPU cycles. */
uint64_t board_ticks(void);
uint32_t board_ticks_per_second(void);

/* Most bytes of the stack that were in use so far; 0: this board does not tell. */
uint32_t board_stack_used(void);

/* Row file and vectors. */
trm_flash board_flash(void);
/* Memory of the states (not TFLM's arena). */
trm_memory board_memory(void);

#ifdef __cplusplus
}
#endif
#endif
