/* Console, clock and memory of the AN547.

   CONSOLE_SEMIHOSTING: the console goes through the debugger instead of UART 0.
   SEMIHOSTING_EXIT: the end is told to the debugger or emulator; without one attached its
   breakpoint would be a fault, so the default is to start again after `quit` (QEMU's -no-reboot
   ends there) and to sleep after an error. */
#include "board.h"

#ifndef STATE_BYTES
#define STATE_BYTES (1u << 20)
#endif

enum { SEMIHOSTING_OPEN = 0x01, SEMIHOSTING_WRITE = 0x05, SEMIHOSTING_READ = 0x06 };
enum { SEMIHOSTING_EXIT_EXTENDED = 0x20 };
enum { STOPPED_BY_APPLICATION = 0x20026 };
enum { CPU_HERTZ = 32000000, UART_DIVISOR = 217 }; /* 25 MHz / 115200 baud */
enum { TICKS_PER_ROUND = 1 << 24 };                /* SysTick counts 24 bits down */

typedef struct {
  volatile uint32_t control, reload, value;
} systick;
#define SYSTICK ((systick *)0xE000E010)

/* UART 0 (CMSDK APB UART), secure alias: the core starts in secure state */
typedef struct {
  volatile uint32_t data, state, control, interrupt, divisor;
} uart;
#define UART ((uart *)0x59303000)
enum { UART_TX_FULL = 1, UART_RX_FULL = 2, UART_ENABLE = 3 };

#define RESET (*(volatile uint32_t *)0xE000ED0C)
enum { RESET_KEY = 0x05FA0000, RESET_REQUEST = 4 };

extern const uint8_t flash_start[], flash_end[];
static uint8_t states[STATE_BYTES] __attribute__((section(".states"), aligned(16)));
static volatile uint32_t rounds;

#if defined(CONSOLE_SEMIHOSTING) || defined(SEMIHOSTING_EXIT)
static int semihost(int operation, const void *argument) {
  register int r0 __asm("r0") = operation;
  register const void *r1 __asm("r1") = argument;
  __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}
#endif

#ifdef CONSOLE_SEMIHOSTING
/* (READC and WRITEC would be simpler, but QEMU 7.2 never comes back from READC) */
static intptr_t console_in, console_out;

static void finish_sending(void) {}

static intptr_t open_terminal(uintptr_t mode) {
  static const char NAME[] = ":tt";
  const uintptr_t request[3] = {(uintptr_t)NAME, mode, sizeof NAME - 1};
  return semihost(SEMIHOSTING_OPEN, request);
}

static void open_console(void) {
  console_in = open_terminal(0);  /* "r" */
  console_out = open_terminal(4); /* "w" */
}

int board_read(void) {
  uint8_t c;
  const uintptr_t one[3] = {(uintptr_t)console_in, (uintptr_t)&c, 1};
  return semihost(SEMIHOSTING_READ, one) == 0 ? c : -1; /* 0 bytes were not read */
}

void board_write(char c) {
  const uintptr_t one[3] = {(uintptr_t)console_out, (uintptr_t)&c, 1};
  semihost(SEMIHOSTING_WRITE, one);
}
#else
static void finish_sending(void) {
  while (UART->state & UART_TX_FULL) {
  }
}

static void open_console(void) {
  UART->divisor = UART_DIVISOR;
  UART->control = UART_ENABLE;
}

int board_read(void) {
  while (!(UART->state & UART_RX_FULL)) {
  }
  return (int)(UART->data & 0xFF);
}

void board_write(char c) {
  while (UART->state & UART_TX_FULL) {
  }
  UART->data = (uint8_t)c;
}
#endif

void board_tick_overflow(void) { rounds++; }

void board_start(void) {
  open_console();
  SYSTICK->reload = TICKS_PER_ROUND - 1;
  SYSTICK->value = 0;
  SYSTICK->control = 7; /* CPU clock, interrupt, on */
}

uint64_t board_ticks(void) {
  uint32_t before, value;
  do { /* again if the counter went round between the two reads */
    before = rounds;
    value = SYSTICK->value;
  } while (before != rounds);
  return (uint64_t)before * TICKS_PER_ROUND + (TICKS_PER_ROUND - 1 - value);
}

uint32_t board_ticks_per_second(void) { return CPU_HERTZ; }

trm_flash board_flash(void) {
  return trm_flash_mapped(flash_start, (uint32_t)(flash_end - flash_start));
}

trm_memory board_memory(void) { return (trm_memory){.base = states, .bytes = STATE_BYTES}; }

void board_exit(int code) {
#ifdef SEMIHOSTING_EXIT
  const int reason[2] = {STOPPED_BY_APPLICATION, code};
  semihost(SEMIHOSTING_EXIT_EXTENDED, reason);
#endif
  if (!code) {
    finish_sending();
    RESET = RESET_KEY | RESET_REQUEST;
  }
  for (;;) __asm volatile("wfi");
}
