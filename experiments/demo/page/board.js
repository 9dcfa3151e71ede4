// Boards: one that is edited by keys, mouse and finger, and one that shows an answer.

import { EMPTY, FREE, GOAL, START, WALL, PATH, letterOf, tokenOf } from "./rules.js";

const MAZE_WORDS = { [WALL]: "wall", [FREE]: "free", [START]: "start", [GOAL]: "goal", [PATH]: "path" };
const MAZE_CLASSES = { [WALL]: "wall", [START]: "end", [GOAL]: "end", [PATH]: "path" };
const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const ERASERS = new Set(["Backspace", "Delete", " ", ".", "0"]);

/** Fill an element with rows of empty cells; returns the cells. */
function layOut(element, facts, roles) {
  const [rows, columns] = facts.grid, cells = [];
  element.replaceChildren();
  for (let row = 0; row < rows; row++) {
    const line = element.appendChild(document.createElement("div"));
    line.className = "row";
    if (roles) line.setAttribute("role", "row");
    for (let column = 0; column < columns; column++) {
      const cell = line.appendChild(document.createElement("div"));
      if (roles) cell.setAttribute("role", "gridcell");
      cells.push(cell);
    }
  }
  return cells;
}

function dress(cell, i, token, facts) {
  const [, columns] = facts.grid, row = Math.floor(i / columns), column = i % columns;
  cell.className = "cell";
  if (facts.box && row % facts.box[0] === 0) cell.classList.add("top");
  if (facts.box && column % facts.box[1] === 0) cell.classList.add("left");
  if (facts.task === "maze" && MAZE_CLASSES[token]) cell.classList.add(MAZE_CLASSES[token]);
  const blank = facts.task === "maze" ? token !== START && token !== GOAL : token <= EMPTY;
  cell.textContent = blank ? "" : letterOf(token, facts);
}

export function wordOf(token, facts) {
  if (facts.task === "maze") return MAZE_WORDS[token] ?? "nothing";
  return token > EMPTY ? letterOf(token, facts) : "empty";
}

/** A puzzle that can be edited; `changed` is called after every edit. */
export class PuzzleBoard {
  constructor(element, changed) {
    Object.assign(this, { element, changed, at: 0, brush: null });
    element.setAttribute("role", "grid");
    element.setAttribute("aria-label", "The puzzle: arrow keys move, typing changes a cell");
    element.addEventListener("keydown", (event) => this.press(event));
    element.addEventListener("pointerdown", (event) => this.point(event));
    element.addEventListener("pointerover", (event) => event.buttons && this.paint(this.cells.indexOf(event.target)));
  }

  show(puzzle, facts) {
    if (facts !== this.facts) this.cells = layOut(this.element, facts, true);
    Object.assign(this, { puzzle, facts, at: Math.min(this.at, puzzle.length - 1) });
    this.draw();
  }

  draw() {
    const columns = this.facts.grid[1];
    this.cells.forEach((cell, i) => {
      dress(cell, i, this.puzzle[i], this.facts);
      if (this.facts.task !== "maze" && this.puzzle[i] > EMPTY) cell.classList.add("given");
      cell.classList.toggle("chosen", i === this.at);
      cell.tabIndex = i === this.at ? 0 : -1;
      const place = `row ${Math.floor(i / columns) + 1}, column ${(i % columns) + 1}`;
      cell.setAttribute("aria-label", `${place}: ${wordOf(this.puzzle[i], this.facts)}`);
    });
  }

  /** Give a cell another token; a maze has one start and one goal. */
  set(i, token) {
    if (i < 0 || this.puzzle[i] === token) return;
    const blank = this.facts.task === "maze" ? FREE : EMPTY;
    if (this.facts.task === "maze" && (token === START || token === GOAL)) {
      this.puzzle.forEach((other, j) => other === token && (this.puzzle[j] = blank));
    }
    this.puzzle[i] = token;
    this.draw();
    this.changed();
  }

  /** Take a token of the palette: mazes are painted with it, the chosen cell of a Sudoku gets it. */
  take(token) {
    if (this.facts.task === "maze") this.brush = token;
    else this.set(this.at, token);
  }

  press(event) {
    const move = MOVES[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (move) this.go(move);
    else if (ERASERS.has(event.key)) this.set(this.at, this.facts.task === "maze" ? FREE : EMPTY);
    else if (event.key.length === 1 && tokenOf(event.key, this.facts) !== null) {
      this.set(this.at, tokenOf(event.key, this.facts));
    } else return;
    event.preventDefault();
  }

  go([down, right]) {
    const [rows, columns] = this.facts.grid;
    const row = Math.floor(this.at / columns) + down, column = (this.at % columns) + right;
    if (row < 0 || row >= rows || column < 0 || column >= columns) return;
    this.at = row * columns + column;
    this.draw();
    this.cells[this.at].focus();
  }

  point(event) {
    const i = this.cells.indexOf(event.target);
    if (i < 0) return;
    if (event.target.hasPointerCapture(event.pointerId)) {
      event.target.releasePointerCapture(event.pointerId); // a finger paints other cells too
    }
    this.at = i;
    this.draw();
    this.paint(i);
  }

  paint(i) {
    if (this.brush !== null && this.facts.task === "maze") this.set(i, this.brush);
  }
}

/** Draw an answer: what is given, what has changed, what breaks a rule. */
export function showAnswer(element, puzzle, step, facts) {
  const cells = layOut(element, facts, false);
  cells.forEach((cell, i) => {
    dress(cell, i, step ? step.tokens[i] : puzzle[i], facts);
    if (facts.task !== "maze" && puzzle[i] > EMPTY) cell.classList.add("given");
    if (step?.changed.includes(i)) cell.classList.add("changed");
    if (step?.broken.includes(i)) cell.classList.add("broken");
  });
}
