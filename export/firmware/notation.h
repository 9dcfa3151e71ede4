/* Puzzles in a line of the console: as tokens, or as people write them.

   Tokens are single characters, 0-9 then a-z for 0 to 35. Where the row file says what a puzzle is,
   what people write is understood too. It is told apart by characters that no puzzle in tokens has:

     Sudoku    any of . 0 _ (all are blanks); digits 1-9, then A-Z; spaces do not count
     maze      anything but digits: # wall, . or space free, S start, G goal; / between rows

   A Sudoku without a blank is read as tokens: it asks for nothing. */
#ifndef TRM_NOTATION_H
#define TRM_NOTATION_H

#include "rows.h"

/* Read a puzzle into `inputs` (seq tokens). `written`: whether it was as people write it. */
trm_status trm_read_puzzle(const trm_rows *rows, const char *text, uint8_t *inputs, int *written);

/* The character of a token of an answer; `written` as the puzzle was. A path of a maze is o. */
char trm_character(const trm_rows *rows, uint8_t token, int written);

#endif
