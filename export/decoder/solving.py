"""One puzzle, answered by an exported decoder: found by text, file or chance, judged by the rules.

Not here: the command line (export/solve.py), the loop (host.py).
"""

from pathlib import Path

import numpy as np

from export.artifact.single_puzzle import PuzzleAnswer, is_file, read_text
from export.decoder.host import WrittenTokens
from export.decoder.open import DecoderExport, open_decoder
from export.decoder.pipeline import write_all
from export.graph.files import check_format
from export.targets import Target
from trm_jax.loading import check_facts_fit, load_puzzles
from trm_jax.tasks.table import task_named


def solve_with_decoder(
    folder: Path,
    text: str | None,
    *,
    asked: str | None = None,
    data: Path | None = None,
    seed: int | None = None,
    target: Target | None = None,
    threads: int = 1,
) -> str:
    """Answer a puzzle and write what is printed.

    Args:
      text: the puzzle, or its file; None: one of the puzzles of `data` (None: the bundled ones).
      asked: task of the command line, which must be the export's.
      seed: of that choice.

    Raises:
      ValueError, OSError, RuntimeError: bad input, or a runtime's refusal.
    """
    export = open_decoder(folder)
    manifest = export.manifest
    if asked not in (None, manifest.puzzles.task):
        raise ValueError(f"the export is for {manifest.puzzles.title}, not for {asked}")
    target = target or manifest.target
    check_format(manifest.target, target)
    form = task_named(manifest.puzzles.task).need_text()
    if text is None:
        puzzle = draw_for(export, data, seed)
    else:
        puzzle = form.read(read_text(Path(text)) if is_file(text) else text, manifest.puzzles)
    prompts = export.form.prompts(puzzle[None])
    (written,) = write_all(export, target, [prompts.tokens[0, : prompts.lengths[0]]], threads)
    solved = judge(export, puzzle, written)
    end = "" if written.stopped else ", without an end"
    return (
        f"{solved.question}\n\n{solved.answer}\n\n"
        f"{solved.verdict}; tokens written: {solved.steps}{end}; {1e3 * solved.seconds:.1f} ms"
        f" ({manifest.model} as {manifest.scheme} on {target.value})"
    )


def judge(export: DecoderExport, puzzle: np.ndarray, written: WrittenTokens) -> PuzzleAnswer:
    """Read the answer off what was written, and judge it by the rules."""
    facts = export.manifest.puzzles
    form = task_named(facts.task).need_text()
    answer = export.form.answers(puzzle[None], written.tokens[None])[0]
    return PuzzleAnswer(
        question=form.show(puzzle, facts),
        answer=form.show(answer, facts),
        is_right=form.is_right(puzzle, answer, facts),
        steps=len(written.tokens),
        seconds=written.seconds,
        fault=form.fault(puzzle, facts),
    )


def draw_for(export: DecoderExport, data: Path | None, seed: int | None) -> np.ndarray:
    """Draw one of the puzzles of a data set.

    Raises:
      ValueError, OSError: missing, or puzzles that the decoder does not read.
    """
    facts = export.manifest.puzzles
    puzzles = load_puzzles(facts.task, data, cells=int(np.prod(facts.grid)))
    check_facts_fit(facts, f"export {export.manifest.model}", puzzles)
    dataset = puzzles.ordered
    row = int(np.random.default_rng(seed).integers(len(dataset)))
    return np.asarray(dataset.inputs[row], np.int32)
