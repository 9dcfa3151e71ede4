/* Reset, vectors and C++ constructors of a Cortex-M55; nothing of the board itself. */
#include <stdint.h>
#include <string.h>

#include "../../firmware.h"
#include "../../protocol.h"
#include "device.h"
#include "core.h"

extern uint8_t data_start[], data_end[], data_load[], bss_start[], bss_end[];
extern uint8_t stack_top[], stack_limit[];
typedef void (*function)(void);
extern function init_array_start[], init_array_end[];

void reset(void);

#ifdef RECEIVE_IRQ
enum { IRQS = RECEIVE_IRQ + 1 };
#else
enum { IRQS = 0 };
#endif

#define VTOR CONTROL(0xE000ED08)
#define CFSR CONTROL(0xE000ED28)
#define HFSR CONTROL(0xE000ED2C)
#define MMFAR CONTROL(0xE000ED34)
#define BFAR CONTROL(0xE000ED38)
enum { STACK_OVERFLOW = 1 << 20 }; /* in CFSR */
enum { WATCHDOG_EXCEPTION = 2 };   /* NMI */

static void put_register(trm_text *text, const char *name, uint32_t value) {
  trm_put(text, ' ');
  trm_put_words(text, name);
  trm_put(text, '=');
  trm_put_hex(text, value);
}

/* A fault must not look like a long computation: say so, and where, and stop. */
__attribute__((noreturn, used)) void tell_fault(uint32_t exception, uint32_t pc, uint32_t lr,
                                                uint32_t xpsr) {
  static char line[256];
  trm_text text = {.at = line, .room = sizeof line};
  int overflow = CFSR & STACK_OVERFLOW;
  trm_put_words(&text, exception == WATCHDOG_EXCEPTION
                           ? "error 91 the watchdog saw no update end in time; raise WATCHDOG_SECONDS"
                       : overflow ? "error 90 stack overflow; raise STACK_BYTES in memory.ld"
                                  : "error 90 processor fault");
  trm_put_field(&text, "exception", exception);
  if (!overflow) { /* nothing was stacked */
    put_register(&text, "pc", pc);
    put_register(&text, "lr", lr);
    put_register(&text, "xpsr", xpsr);
  }
  put_register(&text, "cfsr", CFSR);
  put_register(&text, "hfsr", HFSR);
  put_register(&text, "mmfar", MMFAR);
  put_register(&text, "bfar", BFAR);
  trm_send(&text);
  if (exception == WATCHDOG_EXCEPTION) board_restart();
  board_exit(1);
}

/* What the processor stacked is read first; then the whole stack is free, with its limit off. */
__attribute__((naked)) static void fault(void) {
  __asm volatile(
      "mrs r0, ipsr\n mrs r12, msp\n"
      "ldr r1, [r12, #24]\n ldr r2, [r12, #20]\n ldr r3, [r12, #28]\n"
      "mov r12, #0\n msr msplim, r12\n"
      "ldr r12, =stack_top\n msr msp, r12\n b tell_fault\n");
}

static void ignore(void) {}

__attribute__((section(".vectors"), used)) static const void *const VECTORS[16 + IRQS] = {
    stack_top, (void *)reset, (void *)fault, (void *)fault, (void *)fault, (void *)fault,
    (void *)fault, (void *)fault, 0, 0, 0, (void *)ignore, (void *)fault, 0, (void *)ignore,
    (void *)board_tick_overflow,
#ifdef RECEIVE_IRQ
    [16 + RECEIVE_IRQ] = (void *)console_received,
#endif
};

/* Coprocessor access control: the floating-point unit and MVE are off after reset. */
#define CPACR CONTROL(0xE000ED88)
#define CCR CONTROL(0xE000ED14)
#define ICIALLU CONTROL(0xE000EF50)
enum { INSTRUCTION_CACHE = 1 << 17, BRANCH_PREDICTION = 1 << 18, LOW_OVERHEAD_LOOPS = 1 << 19 };

/* The data cache stays off: variables, arena and states lie in tightly coupled memory and SRAM of
   the FPGA, and what the board's loader wrote must be seen. */
static void speed_up(void) {
  CPACR |= 0xFu << 20;
  ICIALLU = 0;
  __asm volatile("dsb\n isb" ::: "memory");
  CCR |= INSTRUCTION_CACHE | BRANCH_PREDICTION | LOW_OVERHEAD_LOOPS;
  __asm volatile("dsb\n isb" ::: "memory");
}

/* What the stack has not reached still has this in it. */
static const uint32_t UNTOUCHED = 0x5AFE57AC;

static void limit_stack(void) {
  const uint32_t *top;
  __asm volatile("mov %0, sp" : "=r"(top));
  for (volatile uint32_t *at = (uint32_t *)stack_limit; at < top; at++) *at = UNTOUCHED;
  __asm volatile("msr msplim, %0" ::"r"(stack_limit));
}

uint32_t board_stack_used(void) {
  const uint32_t *at = (const uint32_t *)stack_limit;
  while (*at == UNTOUCHED) at++;
  return (uint32_t)(stack_top - (const uint8_t *)at);
}

__attribute__((noreturn)) void reset(void) {
  VTOR = (uint32_t)VECTORS;
  speed_up();
  limit_stack();
  memcpy(data_start, data_load, (size_t)(data_end - data_start));
  memset(bss_start, 0, (size_t)(bss_end - bss_start));
  for (function *f = init_array_start; f < init_array_end; f++) (*f)();
  board_start();
  board_exit(trm_firmware());
}
