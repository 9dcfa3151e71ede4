// The rules of the puzzles, and puzzles as text. Tokens and rules are those of the package
// (trm_jax/tasks/sudoku.py, maze.py), violations those of its viewer; tests hold them together.
//
//   Sudoku   1 an empty cell, d + 1 a digit d
//   mazes    1 wall, 2 free, 3 start, 4 goal, 5 path
//
// facts: {task, grid: [rows, columns], box: [rows, columns] or null}

export const EMPTY = 1;
export const WALL = 1, FREE = 2, START = 3, GOAL = 4, PATH = 5;
const DIGITS = "123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const MAZE_LETTERS = "?#.SGo";

/** The letter of a token, as puzzles are written. */
export function letterOf(token, facts) {
  if (facts.task === "maze") return MAZE_LETTERS[token];
  return token > EMPTY ? DIGITS[token - 2] : ".";
}

/** The token of a letter; null where the puzzles have no such letter. */
export function tokenOf(letter, facts) {
  const upper = letter.toUpperCase();
  if (facts.task === "maze") {
    const token = " " === letter ? FREE : MAZE_LETTERS.indexOf(upper);
    return token >= WALL && token <= GOAL ? token : null;
  }
  if (".0_".includes(letter)) return EMPTY;
  const digit = DIGITS.indexOf(upper) + 1;
  return digit >= 1 && digit <= facts.grid[0] ? digit + 1 : null;
}

export function writeText(tokens, facts) {
  return Array.from(tokens, (token) => letterOf(token, facts)).join("");
}

/** Read a puzzle; throws an Error that says what is wrong with the text. */
export function readText(text, facts) {
  const breaks = facts.task === "maze" ? /[\r\n/]/g : /\s/g;
  const letters = Array.from(text.replace(breaks, ""));
  const cells = facts.grid[0] * facts.grid[1];
  const wrong = letters.find((letter) => tokenOf(letter, facts) === null);
  if (wrong !== undefined) throw new Error(`a puzzle has no ${JSON.stringify(wrong)}: ${symbols(facts)}`);
  if (letters.length !== cells) throw new Error(`the puzzle has ${cells} cells, this text ${letters.length}`);
  return Uint8Array.from(letters, (letter) => tokenOf(letter, facts));
}

function symbols(facts) {
  if (facts.task === "maze") return "# wall, . free, S start, G goal";
  return `digits 1 to ${DIGITS[facts.grid[0] - 1]}, . for an empty cell`;
}

/** The cells that break a rule, as numbers in order. */
export function violations(puzzle, answer, facts) {
  const marks = facts.task === "maze" ? brokenMaze(puzzle, answer, facts) : brokenSudoku(puzzle, answer, facts);
  return marks.flatMap((mark, i) => (mark ? [i] : []));
}

function brokenSudoku(puzzle, answer, facts) {
  const units = unitsOf(facts);
  return Array.from(answer, (token, i) => {
    if (token <= EMPTY || (puzzle[i] > EMPTY && token !== puzzle[i])) return true;
    return units.some((unit) => answer.some((other, j) => j !== i && other === token && unit[j] === unit[i]));
  });
}

/** For rows, columns and boxes: the number of the unit that each cell is in. */
function unitsOf({ grid: [side], box: [height, width] }) {
  const cells = Array.from({ length: side * side }, (_, i) => [Math.floor(i / side), i % side]);
  const perRow = side / width;
  return [
    cells.map(([row]) => row),
    cells.map(([, column]) => column),
    cells.map(([row, column]) => Math.floor(row / height) * perRow + Math.floor(column / width)),
  ];
}

function brokenMaze(puzzle, answer, facts) {
  const isEnd = (token) => token === START || token === GOAL;
  const onPath = Array.from(answer, (token) => token === PATH || isEnd(token));
  return Array.from(answer, (token, i) => {
    if (puzzle[i] !== FREE && token !== puzzle[i]) return true;
    const near = neighbours(i, facts).filter((j) => onPath[j]).length;
    return onPath[i] && near !== (isEnd(token) ? 1 : 2);
  });
}

function neighbours(i, { grid: [rows, columns] }) {
  const row = Math.floor(i / columns), column = i % columns;
  return [
    ...(row > 0 ? [i - columns] : []),
    ...(row < rows - 1 ? [i + columns] : []),
    ...(column > 0 ? [i - 1] : []),
    ...(column < columns - 1 ? [i + 1] : []),
  ];
}

/** Whether an answer obeys all rules; of a maze it marks one of the shortest paths too. */
export function isRight(puzzle, answer, facts) {
  if (facts.task !== "maze") return violations(puzzle, answer, facts).length === 0;
  const shortest = distance(puzzle, facts);
  if (shortest === null || puzzle.some((token, i) => token !== FREE && answer[i] !== token)) return false;
  const left = new Set();
  answer.forEach((token, i) => (token === PATH || token === GOAL) && left.add(i));
  const length = left.size;
  let at = puzzle.indexOf(START);
  while (puzzle[at] !== GOAL) {
    const near = neighbours(at, facts).filter((j) => left.has(j));
    if (near.length !== 1) return false;
    at = near[0];
    left.delete(at);
  }
  return left.size === 0 && length === shortest;
}

/** Moves from start to goal; null where there is no way, or not one start and one goal. */
function distance(puzzle, facts) {
  if (count(puzzle, START) !== 1 || count(puzzle, GOAL) !== 1) return null;
  let front = [puzzle.indexOf(START)];
  const seen = new Set(front);
  for (let moves = 0; front.length; moves++) {
    if (front.some((i) => puzzle[i] === GOAL)) return moves;
    front = front.flatMap((i) => neighbours(i, facts)).filter((j) => {
      const isNew = puzzle[j] > WALL && !seen.has(j);
      if (isNew) seen.add(j);
      return isNew;
    });
  }
  return null;
}

function count(tokens, wanted) {
  return tokens.reduce((sum, token) => sum + (token === wanted), 0);
}

/** Why a puzzle has no answer, as far as its cells alone show it; null where they do not. */
export function faultOf(puzzle, facts) {
  if (facts.task === "maze") {
    for (const [token, letter] of [[START, "S"], [GOAL, "G"]]) {
      if (count(puzzle, token) !== 1) return `a maze has one ${letter}, this has ${count(puzzle, token)}`;
    }
    return distance(puzzle, facts) === null ? "no answer exists: no path leads from S to G" : null;
  }
  const clash = violations(puzzle, puzzle, facts).find((i) => puzzle[i] > EMPTY);
  if (clash === undefined) return null;
  return `no answer exists: ${letterOf(puzzle[clash], facts)} stands twice in a row, column or box`;
}
