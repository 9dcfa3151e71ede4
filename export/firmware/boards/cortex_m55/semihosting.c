/* The console through a debugger or emulator (CONSOLE_SEMIHOSTING), and the call itself.

   Nothing is heard during a computation: the debugger is asked, it does not interrupt. */
#include "device.h"
#include "core.h"

enum { SEMIHOSTING_OPEN = 0x01, SEMIHOSTING_WRITE = 0x05, SEMIHOSTING_READ = 0x06 };

int semihost(int operation, const void *argument) {
  register int r0 __asm("r0") = operation;
  register const void *r1 __asm("r1") = argument;
  __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

#ifdef CONSOLE_SEMIHOSTING
/* (READC and WRITEC would be simpler, but QEMU 7.2 never comes back from READC) */
static intptr_t console_in, console_out;

void console_flush(void) {}

void console_attend(int computing) { (void)computing; }

int console_interrupted(void) { return 0; }

static intptr_t open_terminal(uintptr_t mode) {
  static const char NAME[] = ":tt";
  const uintptr_t request[3] = {(uintptr_t)NAME, mode, sizeof NAME - 1};
  return semihost(SEMIHOSTING_OPEN, request);
}

void console_open(void) {
  console_in = open_terminal(0);  /* "r" */
  console_out = open_terminal(4); /* "w" */
}

int board_read(void) {
  uint8_t c;
  const uintptr_t one[3] = {(uintptr_t)console_in, (uintptr_t)&c, 1};
  return semihost(SEMIHOSTING_READ, one) == 0 ? c : BOARD_END; /* 0 bytes were not read */
}

void board_write(char c) {
  const uintptr_t one[3] = {(uintptr_t)console_out, (uintptr_t)&c, 1};
  semihost(SEMIHOSTING_WRITE, one);
}
#endif
