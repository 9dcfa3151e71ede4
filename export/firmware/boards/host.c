/* A computer as a board: trm_host FLASH_FILE [STATE_BYTES], console on stdin and stdout. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../board.h"
#include "../firmware.h"

enum { MOST_FLASH = 8 << 20, MOST_STATE = 8 << 20 }; /* as much as the MPS3 board has */

static uint8_t flash[MOST_FLASH];
static _Alignas(16) uint8_t states[MOST_STATE];
static uint32_t flash_bytes, state_bytes = MOST_STATE;

int board_read(void) {
  int c = getchar();
  return c == EOF ? BOARD_END : c;
}

void board_write(char c) { putchar(c); }

uint64_t board_ticks(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint32_t board_ticks_per_second(void) { return 1000000; }

uint64_t board_cycles(void) { return 0; }

uint32_t board_stack_used(void) { return 0; }

void board_begin(void) {}

int board_goes_on(void) { return 1; }

void board_end(void) {}

trm_kept *board_kept(void) { return NULL; }

trm_flash board_flash(void) { return trm_flash_mapped(flash, flash_bytes); }

trm_memory board_memory(void) { return (trm_memory){.base = states, .bytes = state_bytes}; }

int main(int argc, char **argv) {
  FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
  if (!file) {
    fprintf(stderr, "usage: %s FLASH_FILE [STATE_BYTES]\n", argv[0]);
    return 2;
  }
  flash_bytes = (uint32_t)fread(flash, 1, MOST_FLASH, file);
  fclose(file);
  if (argc > 2) {
    unsigned long asked = strtoul(argv[2], NULL, 10);
    state_bytes = asked < MOST_STATE ? (uint32_t)asked : MOST_STATE;
  }
  return trm_firmware();
}
