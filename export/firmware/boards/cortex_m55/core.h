/* Between start-up, core, console and watchdog of a board with a Cortex-M55. */
#ifndef TRM_CORE_H
#define TRM_CORE_H

#include "../../board.h"

#define CONTROL(address) (*(volatile uint32_t *)(address))

void board_start(void);
void board_tick_overflow(void);
/* End with a code; 0 starts the board again. Where a debugger or emulator listens it is told. */
__attribute__((noreturn)) void board_exit(int code);
__attribute__((noreturn)) void board_restart(void);

/* The console of this build: its start, its end, and what it hears during a computation. */
void console_open(void);
void console_flush(void);
void console_attend(int computing);
int console_interrupted(void);
#ifdef RECEIVE_IRQ
void console_received(void);
#endif

/* Fed within WATCHDOG_SECONDS or it interrupts (NMI), and starts the board again if that hangs too. */
void watchdog_start(void);
void watchdog_feed(void);
void watchdog_stop(void);

int semihost(int operation, const void *argument);

#endif
