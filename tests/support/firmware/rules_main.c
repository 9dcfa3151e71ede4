/* Checks answers from stdin: lines of KIND ROWS COLUMNS INPUTS ANSWER, tokens as the firmware's
   console writes them; prints 1 or 0 a line. */
#include <stdio.h>
#include <string.h>

#include "rules.h"

static uint32_t tokens(const char *text, uint8_t *to) {
  static const char DIGITS[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  uint32_t count = 0;
  for (; text[count]; count++) to[count] = (uint8_t)(strchr(DIGITS, text[count]) - DIGITS);
  return count;
}

int main(void) {
  static char puzzle[2048], answer[2048];
  static uint8_t inputs[2048], outputs[2048];
  unsigned kind, rows, columns;
  while (scanf("%u %u %u %2000s %2000s", &kind, &rows, &columns, puzzle, answer) == 5) {
    trm_puzzles about = {.kind = (trm_kind)kind, .rows = rows, .columns = columns};
    uint8_t scratch[1024];
    uint32_t cells = tokens(puzzle, inputs);
    tokens(answer, outputs);
    printf("%d\n", trm_is_right(&about, cells, inputs, outputs, scratch));
  }
  return 0;
}
