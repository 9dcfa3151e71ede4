#include "rules.h"

#include <string.h>

enum { BLANK = 1 };                                            /* Sudoku */
enum { PAD = 0, WALL = 1, FREE = 2, START = 3, GOAL = 4, PATH = 5 }; /* mazes */

/* A bit for every digit; tokens that are no digit have none. */
static uint64_t digit_bit(uint8_t token, uint32_t side) {
  return token > BLANK && token <= BLANK + side ? (uint64_t)1 << (token - BLANK - 1) : 0;
}

static int obeys_sudoku(const trm_puzzles *p, uint32_t cells, const uint8_t *inputs,
                        const uint8_t *answer) {
  uint32_t side = p->rows * p->columns, boxes = p->rows; /* in a band of boxes */
  uint64_t all = ((uint64_t)1 << side) - 1; /* vocab is 36 at most, so side is 34 */
  for (uint32_t t = 0; t < cells; t++)
    if (inputs[t] > BLANK && inputs[t] != answer[t]) return 0;
  for (uint32_t unit = 0; unit < side; unit++) {
    uint64_t row = 0, column = 0, box = 0;
    uint32_t top = unit / boxes * p->rows, left = unit % boxes * p->columns;
    for (uint32_t i = 0; i < side; i++) {
      uint32_t r = top + i / p->columns, c = left + i % p->columns;
      row |= digit_bit(answer[unit * side + i], side);
      column |= digit_bit(answer[i * side + unit], side);
      box |= digit_bit(answer[r * side + c], side);
    }
    if (row != all || column != all || box != all) return 0;
  }
  return 1;
}

/* The neighbours of a cell: up, left, right, down; returns how many there are. */
static uint32_t neighbours(uint32_t at, uint32_t columns, uint32_t cells, uint32_t near[4]) {
  uint32_t count = 0;
  if (at >= columns) near[count++] = at - columns;
  if (at % columns) near[count++] = at - 1;
  if (at % columns + 1 < columns) near[count++] = at + 1;
  if (at + columns < cells) near[count++] = at + columns;
  return count;
}

/* The only cell with a token, or `cells`. */
static uint32_t only(const uint8_t *tokens, uint32_t cells, uint8_t token) {
  uint32_t found = cells, count = 0;
  for (uint32_t t = 0; t < cells; t++)
    if (tokens[t] == token) found = t, count++;
  return count == 1 ? found : cells;
}

/* Walk from the start to the goal over path cells, of which there may be one way only and none left
   over. Returns the moves; 0 if it is no such path. */
static uint32_t walk(uint32_t columns, uint32_t cells, const uint8_t *answer, uint32_t start,
                     uint32_t goal, uint8_t *left) {
  uint32_t moves = 0, at = start, total = 0, near[4];
  for (uint32_t t = 0; t < cells; t++) {
    left[t] = answer[t] == PATH || answer[t] == GOAL;
    total += left[t];
  }
  while (at != goal) {
    uint32_t ways = 0, next = at, count = neighbours(at, columns, cells, near);
    for (uint32_t i = 0; i < count; i++)
      if (left[near[i]]) next = near[i], ways++;
    if (ways != 1) return 0;
    left[next] = 0;
    at = next;
    moves++;
  }
  return moves == total ? moves : 0;
}

/* Moves from the start to the goal on a shortest path, at most `most`; waves of marks 1, 2, 3 in turn,
   for a byte does not hold a distance. */
static uint32_t distance(uint32_t columns, uint32_t cells, const uint8_t *inputs, uint32_t start,
                         uint32_t goal, uint32_t most, uint8_t *mark) {
  uint32_t near[4];
  memset(mark, 0, cells);
  mark[start] = 3;
  for (uint32_t moves = 1; moves <= most; moves++) {
    uint8_t now = (uint8_t)((moves - 1) % 3 + 1), before = now == 1 ? 3 : (uint8_t)(now - 1);
    for (uint32_t t = 0; t < cells; t++) {
      if (mark[t] != before) continue;
      uint32_t count = neighbours(t, columns, cells, near);
      for (uint32_t i = 0; i < count; i++)
        if (!mark[near[i]] && inputs[near[i]] != WALL && inputs[near[i]] != PAD)
          mark[near[i]] = now;
    }
    if (mark[goal]) return moves;
  }
  return most + 1;
}

static int obeys_maze(const trm_puzzles *p, uint32_t cells, const uint8_t *inputs,
                      const uint8_t *answer, uint8_t *scratch) {
  uint32_t start = only(inputs, cells, START), goal = only(inputs, cells, GOAL);
  if (start == cells || goal == cells) return 0;
  for (uint32_t t = 0; t < cells; t++)
    if (inputs[t] != FREE && inputs[t] != answer[t]) return 0;
  uint32_t moves = walk(p->columns, cells, answer, start, goal, scratch);
  return moves && distance(p->columns, cells, inputs, start, goal, moves, scratch) == moves;
}

int trm_is_right(const trm_puzzles *puzzles, uint32_t cells, const uint8_t *inputs,
                 const uint8_t *answer, uint8_t *scratch) {
  if (puzzles->kind == TRM_SUDOKU) return obeys_sudoku(puzzles, cells, inputs, answer);
  return puzzles->kind == TRM_MAZE && obeys_maze(puzzles, cells, inputs, answer, scratch);
}
