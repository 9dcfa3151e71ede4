// The page's controls: which model, precision and puzzle, and the steps taken so far.

import { PuzzleBoard, showAnswer, wordOf } from "./board.js";
import { fetchFile, loadReasoner } from "./reasoner.js";
import { EMPTY, FREE, GOAL, START, WALL, faultOf, isRight, readText, violations, writeText } from "./rules.js";

const RUNTIME = "./runtime/ort.wasm.bundle.min.mjs";
const PAUSE = 350; // ms between the steps of Play
const $ = (id) => document.getElementById(id);
const loaded = new Map(); // folder -> promise of a reasoner
const state = { steps: [], shown: 0, busy: false, playing: false, run: 0, turn: 0 };
const board = new PuzzleBoard($("puzzle"), () => restart());

const model = () => state.site.models[$("model").value];
const exported = () => model().exports[$("scheme").value];

async function begin() {
  state.site = await (await fetchFile("site.json")).json();
  fill($("model"), state.site.models.map((each) => each.title));
  $("app").hidden = false;
  chooseModel();
}

function fill(select, names) {
  select.replaceChildren(...names.map((name, i) => new Option(name, i)));
}

function chooseModel() {
  const { exports, puzzles, task, grid } = model();
  fill($("scheme"), exports.map((each) => `${each.name} (${Math.round(each.bytes / 1000)} kB)`));
  fill($("example"), puzzles.map((_, i) => `example ${i + 1}`));
  $("example").add(new Option("yours", -1));
  const tokens = task === "maze" ? [WALL, FREE, START, GOAL] : [...Array(grid[0] + 1).keys()].map((d) => d + EMPTY);
  $("palette").replaceChildren(...tokens.map(paletteButton));
  $("hint").textContent = task === "maze"
    ? "Choose a kind of cell and paint, or move with the arrow keys and type # . S G."
    : "Choose a cell and a digit, or move with the arrow keys and type; Backspace empties a cell.";
  for (const note of document.querySelectorAll(".maze")) note.hidden = task !== "maze";
  board.brush = null;
  chooseExample();
}

function paletteButton(token) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = wordOf(token, model());
  button.onclick = () => {
    board.take(token);
    if (model().task !== "maze") return;
    for (const each of $("palette").children) each.setAttribute("aria-pressed", each === button);
  };
  return button;
}

function chooseExample() {
  const number = Number($("example").value);
  if (number >= 0) show(readText(model().puzzles[number], model()));
}

function show(puzzle) {
  board.show(puzzle, model());
  restart(false);
}

/** Forget the steps: another puzzle, model or precision. */
function restart(edited = true) {
  if (edited) $("example").value = -1;
  Object.assign(state, { steps: [], shown: 0, playing: false, run: state.run + 1, turn: state.turn + 1, begun: false });
  $("text").value = writeText(board.puzzle, model());
  sayFault(faultOf(board.puzzle, model()));
  const { architecture, parameters, steps, chosen } = model();
  $("about").textContent = `${architecture}, ${parameters.toLocaleString("en")} weights, at most ${steps} supervision steps. ${chosen}.`;
  say("");
  draw();
}

function sayFault(text) {
  $("fault").textContent = text ?? "";
  $("fault").hidden = text === null;
}

function say(text) {
  $("status").textContent = text;
}

function isDone() {
  const last = state.steps.at(-1);
  return state.steps.length >= model().steps || Boolean(last?.right && $("halt").checked);
}

function reasoner() {
  const { folder } = exported();
  if (!loaded.has(folder)) {
    const loading = import(RUNTIME).then((ort) => {
      ort.env.wasm.numThreads = 1; // more need headers that plain file servers do not send
      return loadReasoner(ort, folder);
    });
    loading.catch(() => loaded.delete(folder)); // a next attempt loads again
    loaded.set(folder, loading);
  }
  return loaded.get(folder);
}

/** Take one supervision step; false where there is none left, or the puzzle changed meanwhile. */
async function takeStep() {
  if (state.busy || isDone()) return false;
  const { run } = state, puzzle = Uint8Array.from(board.puzzle);
  state.busy = true;
  draw();
  try {
    if (!state.begun) say("Loading the model...");
    const thinker = await reasoner();
    await new Promise((done) => setTimeout(done)); // lets the page be drawn first
    if (run !== state.run) return false;
    if (!state.begun) thinker.start(puzzle);
    state.begun = true;
    const from = performance.now(), result = await thinker.step(), ms = performance.now() - from;
    if (run !== state.run) return false;
    record(puzzle, result, ms);
    return true;
  } catch (error) {
    state.playing = false;
    say(`The model cannot run here: ${error.message}`);
    return false;
  } finally {
    state.busy = false;
    draw();
  }
}

function record(puzzle, { tokens, q_halt }, ms) {
  const before = state.steps.at(-1)?.tokens ?? puzzle;
  const changed = Array.from(tokens.keys()).filter((i) => tokens[i] !== before[i]);
  const broken = violations(puzzle, tokens, model());
  state.steps.push({ tokens, q_halt, ms, changed, broken, right: isRight(puzzle, tokens, model()) });
  state.shown = state.steps.length;
  say(summary());
}

function summary() {
  const { steps } = state, { right, broken } = steps.at(-1);
  const times = steps.map((each) => each.ms).sort((a, b) => a - b), middle = times[(times.length - 1) >> 1];
  const cost = `${middle.toFixed(1)} ms a step (median)`;
  if (right) return `Right by the rules after ${count(steps.length, "step")}; ${cost}.`;
  const ended = steps.length >= model().steps ? "Not solved" : "Not yet right";
  const why = broken.length ? `${count(broken.length, "cell")} against a rule` : "no shortest path";
  return `${ended} after ${count(steps.length, "step")}: ${why}; ${cost}.`;
}

function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

async function play() {
  state.playing = !state.playing && !state.busy && !isDone();
  const turn = (state.turn += 1); // another Play, Pause or puzzle ends this one
  draw();
  while (state.playing && turn === state.turn && (await takeStep())) {
    await new Promise((done) => setTimeout(done, PAUSE));
  }
  if (turn === state.turn) state.playing = false;
  draw();
}

function draw() {
  const { steps, shown } = state, step = steps[shown - 1];
  showAnswer($("answer"), board.puzzle, step, model());
  $("answer").setAttribute("aria-label", step ? describe(step) : "No step yet");
  $("shown").max = steps.length;
  $("shown").value = shown;
  $("at").textContent = shown;
  refuse($("step"), state.busy || state.playing || isDone());
  refuse($("play"), !state.playing && isDone());
  $("play").textContent = state.playing ? "Pause" : "Play";
  $("steps").replaceChildren(...steps.map(rowOf));
}

/** Mark a button as of no use now. It keeps the focus, which a disabled one would lose. */
function refuse(button, isRefused) {
  button.setAttribute("aria-disabled", isRefused);
}

function describe({ tokens, broken, right }) {
  const verdict = right ? "right by the rules" : `${count(broken.length, "cell")} against a rule`;
  return `Answer after step ${state.shown}: ${verdict}. ${writeText(tokens, model())}`;
}

function rowOf({ ms, changed, broken, q_halt }, i) {
  const row = document.createElement("tr");
  if (i + 1 === state.shown) row.setAttribute("aria-current", "true");
  for (const value of [i + 1, ms.toFixed(1), changed.length, broken.length, q_halt.toFixed(2)]) {
    row.insertCell().textContent = value;
  }
  return row;
}

function readTyped() {
  try {
    show(readText($("text").value, model()));
    $("example").value = -1;
  } catch (error) {
    sayFault(error.message);
  }
}

$("model").onchange = chooseModel;
$("scheme").onchange = () => restart(false);
$("example").onchange = chooseExample;
$("text").onchange = readTyped;
$("clear").onclick = () => {
  show(new Uint8Array(board.puzzle.length).fill(model().task === "maze" ? FREE : EMPTY));
  $("example").value = -1;
};
$("step").onclick = () => state.playing || takeStep();
$("play").onclick = play;
$("again").onclick = () => restart(false);
$("halt").onchange = draw;
$("shown").oninput = () => {
  state.shown = Number($("shown").value);
  draw();
};
begin().catch((error) => {
  $("blocked").textContent = `The page cannot start: ${error.message}`;
  $("blocked").hidden = false;
});
