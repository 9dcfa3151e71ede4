/* Reset, vectors and C++ constructors of a Cortex-M55; nothing of the board itself. */
#include <stdint.h>
#include <string.h>

#include "../../firmware.h"
#include "board.h"

extern uint8_t data_start[], data_end[], data_load[], bss_start[], bss_end[], stack_top[];
typedef void (*function)(void);
extern function init_array_start[], init_array_end[];

void reset(void);

/* A fault must not look like a long computation: say so and stop. */
static void fault(void) {
  for (const char *c = "error 0 processor fault\n"; *c; c++) board_write(*c);
  board_exit(1);
}

static void ignore(void) {}

__attribute__((section(".vectors"), used)) static const void *const VECTORS[16] = {
    stack_top, (void *)reset, (void *)fault, (void *)fault, (void *)fault, (void *)fault,
    (void *)fault, (void *)fault, 0, 0, 0, (void *)ignore, (void *)fault, 0, (void *)ignore,
    (void *)board_tick_overflow,
};

/* Coprocessor access control: the floating-point unit and MVE are off after reset. */
#define CPACR (*(volatile uint32_t *)0xE000ED88)

__attribute__((noreturn)) void reset(void) {
  CPACR |= 0xFu << 20;
  __asm volatile("dsb\n isb" ::: "memory");
  memcpy(data_start, data_load, (size_t)(data_end - data_start));
  memset(bss_start, 0, (size_t)(bss_end - bss_start));
  for (function *f = init_array_start; f < init_array_end; f++) (*f)();
  board_start();
  board_exit(trm_firmware());
}
