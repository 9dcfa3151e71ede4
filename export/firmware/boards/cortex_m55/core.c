/* Clock, memory and end of a board with a Cortex-M55, whatever is around the core.

   SEMIHOSTING_EXIT: the end is told to the debugger or emulator; without one attached its
   breakpoint would be a fault, so the default is to start again after `quit` (QEMU's -no-reboot
   ends there) and to sleep after an error. */
#include "device.h"
#include "core.h"

#ifndef STATE_BYTES
#define STATE_BYTES (1u << 20)
#endif

enum { SEMIHOSTING_EXIT_EXTENDED = 0x20, STOPPED_BY_APPLICATION = 0x20026 };
enum { TICKS_PER_ROUND = 1 << 24 }; /* SysTick counts 24 bits down */

typedef struct {
  volatile uint32_t control, reload, value;
} systick;
#define SYSTICK ((systick *)0xE000E010)

#define RESET CONTROL(0xE000ED0C)
enum { RESET_KEY = 0x05FA0000, RESET_REQUEST = 4 };

extern const uint8_t flash_start[], flash_end[];
static uint8_t states[STATE_BYTES] __attribute__((section(".states"), aligned(16)));
static trm_kept kept __attribute__((section(".kept")));
static volatile uint32_t rounds;

/* The cycle counter of the debug unit (DWT; of an M55 with a PMU the same counter): 32 bits, which
   are added up at every overflow of SysTick, at most 2^24 cycles apart. Where there is none it reads
   as zero and stands still. */
#define DEMCR CONTROL(0xE000EDFC)
#define DWT_CONTROL CONTROL(0xE0001000)
#define DWT_CYCLES CONTROL(0xE0001004)
enum { TRACE_ENABLE = 1 << 24, COUNT_CYCLES = 1 };

static volatile uint64_t cycles;
static volatile uint32_t last_cycles;
static int counts_cycles;

static void start_cycles(void) {
  DEMCR |= TRACE_ENABLE;
  DWT_CONTROL |= COUNT_CYCLES;
  uint32_t before = DWT_CYCLES;
  __asm volatile("nop\n nop\n nop");
  last_cycles = DWT_CYCLES;
  counts_cycles = last_cycles != before;
}

static void add_cycles(void) {
  uint32_t now = DWT_CYCLES;
  cycles += now - last_cycles;
  last_cycles = now;
}

void board_tick_overflow(void) {
  rounds++;
  if (counts_cycles) add_cycles();
}

uint64_t board_cycles(void) {
  if (!counts_cycles) return 0;
  __asm volatile("cpsid i" ::: "memory"); /* SysTick adds them up too */
  add_cycles();
  uint64_t sum = cycles;
  __asm volatile("cpsie i" ::: "memory");
  return sum;
}

void board_start(void) {
  console_open();
  start_cycles();
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

void board_begin(void) {
  console_attend(1);
  watchdog_start();
}

int board_goes_on(void) {
  watchdog_feed();
  return !console_interrupted();
}

void board_end(void) {
  watchdog_stop();
  console_attend(0);
}

trm_kept *board_kept(void) { return &kept; }

trm_flash board_flash(void) {
  return trm_flash_mapped(flash_start, (uint32_t)(flash_end - flash_start));
}

trm_memory board_memory(void) { return (trm_memory){.base = states, .bytes = STATE_BYTES}; }

void board_restart(void) {
  console_flush();
  RESET = RESET_KEY | RESET_REQUEST;
  for (;;) __asm volatile("wfi");
}

void board_exit(int code) {
#ifdef SEMIHOSTING_EXIT
  const int reason[2] = {STOPPED_BY_APPLICATION, code};
  semihost(SEMIHOSTING_EXIT_EXTENDED, reason);
#endif
  if (!code) board_restart();
  for (;;) __asm volatile("wfi");
}
