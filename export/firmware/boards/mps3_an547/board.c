/* UART 0 and the watchdog of the AN547.

   What the UART receives goes into a ring by interrupt, so that nothing is lost during a solve. A
   ring that is full keeps nothing more until it was read to its end: no line can be put together
   of two. CONSOLE_SEMIHOSTING: the console goes through the debugger instead. */
#include "device.h"
#include "../cortex_m55/core.h"

/* CMSDK APB UART, secure alias: the core starts in secure state */
typedef struct {
  volatile uint32_t data, state, control, interrupt, divisor;
} uart;
#define UART ((uart *)0x59303000)
enum { UART_DIVISOR = 217 }; /* 25 MHz / 115200 baud */
enum { UART_TX_FULL = 1, UART_RX_FULL = 2, UART_RX_OVERRUN = 8 };         /* state */
enum { UART_TX = 1, UART_RX = 2, UART_RX_INTERRUPT = 8 };                 /* control */
enum { UART_RX_PENDING = 2 };                                            /* interrupt */
#define ENABLE_INTERRUPT(irq) (CONTROL(0xE000E100 + (irq) / 32 * 4) = 1u << (irq) % 32)

/* Watchdog of the slow clock (CMSDK), secure alias */
typedef struct {
  volatile uint32_t load, value, control, clear;
  uint32_t reserved[764];
  volatile uint32_t lock;
} watchdog;
#define WATCHDOG ((watchdog *)0x5802E000)
enum { WATCHDOG_HERTZ = 32768, WATCHDOG_KEY = 0x1ACCE551, WATCHDOG_ON = 3 };

/* longer than any update of a model that fits: 6.5 G instructions take 203 s at 32 MHz */
#ifndef WATCHDOG_SECONDS
#define WATCHDOG_SECONDS 1200
#endif

#ifndef CONSOLE_SEMIHOSTING
enum { RING = 4096, CTRL_C = 3 };

static volatile uint8_t ring[RING];
static volatile uint32_t received, taken;
static volatile int lost, attending, interrupted;

static void keep(uint8_t c) {
  if (attending && c == CTRL_C)
    interrupted = 1;
  else if (lost || received - taken == RING)
    lost = 1;
  else
    ring[received++ % RING] = c;
}

void console_received(void) {
  UART->interrupt = UART_RX_PENDING;
  if (UART->state & UART_RX_OVERRUN) {
    UART->state = UART_RX_OVERRUN;
    lost = 1;
  }
  while (UART->state & UART_RX_FULL) keep((uint8_t)UART->data);
}

void console_open(void) {
  UART->divisor = UART_DIVISOR;
  UART->control = UART_TX | UART_RX | UART_RX_INTERRUPT;
  ENABLE_INTERRUPT(RECEIVE_IRQ);
}

void console_attend(int computing) {
  interrupted = 0;
  attending = computing;
}

int console_interrupted(void) { return interrupted; }

void console_flush(void) {
  while (UART->state & UART_TX_FULL) {
  }
}

int board_read(void) {
  while (received == taken && !lost) __asm volatile("wfi");
  if (received != taken) return ring[taken++ % RING];
  lost = 0;
  return BOARD_LOST;
}

void board_write(char c) {
  while (UART->state & UART_TX_FULL) {
  }
  UART->data = (uint8_t)c;
}
#endif

void watchdog_start(void) {
  WATCHDOG->lock = WATCHDOG_KEY;
  WATCHDOG->load = (uint32_t)((WATCHDOG_SECONDS) * WATCHDOG_HERTZ);
  WATCHDOG->control = WATCHDOG_ON;
}

void watchdog_feed(void) { WATCHDOG->clear = 1; }

void watchdog_stop(void) { WATCHDOG->control = 0; }
