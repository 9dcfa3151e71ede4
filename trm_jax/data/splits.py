"""Generate puzzles in several processes, and held-out ones that training has not seen.

Puzzles 0 to num_train of a seed are for training; later ones become the test set unless they
are symmetric to one of those or to each other. Training puzzles may repeat: they are many.
"""

import functools
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np

Generate = Callable[..., tuple[np.ndarray, np.ndarray]]
"""`generate(num, start=..., progress=...)`, as `generate_sudoku` with its options bound."""
Pair = tuple[np.ndarray, np.ndarray]
NewClasses = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""`new_classes(candidates, known)` marks the candidates of classes not seen before."""

CANDIDATES = 20  # candidates per test puzzle before a space of puzzles counts as exhausted
CHUNK = 16  # puzzles a worker makes before it reports


def generate_parallel(
    generate: Generate,
    num: int,
    *,
    start: int = 0,
    workers: int = 1,
    progress: Callable[[int], object] = lambda done: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Generate puzzles `start` to `start + num` in several processes.

    The result does not depend on `workers`: each puzzle depends on seed and index alone.

    Args:
      generate: generator with its options bound; must be picklable when workers > 1.
      num: number of puzzles.
      start: index of the first.
      workers: processes; 1 stays in this one.
      progress: called with the number of puzzles made so far.

    Raises:
      ValueError: fewer than one worker, or what the generator raises.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if workers == 1 or num <= CHUNK:
        return generate(num, start=start, progress=progress)
    firsts = range(start, start + num, CHUNK)
    sizes = [min(CHUNK, start + num - first) for first in firsts]
    # spawn: a fork of a process that runs threads (JAX) can deadlock
    context = multiprocessing.get_context("spawn")
    parts, done = [], 0
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for part in pool.map(functools.partial(_chunk, generate), sizes, firsts):
            parts.append(part)
            done += len(part[0])
            progress(done)
    puzzles, answers = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return puzzles, answers


def _chunk(generate: Generate, num: int, start: int) -> tuple[np.ndarray, np.ndarray]:
    return generate(num, start=start)


def train_test(
    generate: Generate,
    num_train: int,
    num_test: int,
    new_classes: NewClasses,
    *,
    workers: int = 1,
    progress: Callable[[int], object] = lambda done: None,
) -> tuple[Pair, Pair]:
    """Generate both sets.

    Args:
      generate: generator with its options bound.
      num_train: training puzzles.
      num_test: held-out puzzles.
      new_classes: what counts as different.
      workers: processes; the result does not depend on them.
      progress: called with the number of puzzles kept so far.

    Returns:
      Training and test puzzles, each with their answers.

    Raises:
      ValueError: a set without puzzles, too few different puzzles, or what the generator raises.
    """
    if min(num_train, num_test) < 1:
        raise ValueError(f"both sets need puzzles, got num_train={num_train} num_test={num_test}")
    train = generate_parallel(generate, num_train, workers=workers, progress=progress)
    test = tuple(part[:0] for part in train)
    made, limit = num_train, num_train + CANDIDATES * num_test
    while (missing := num_test - len(test[0])) > 0:
        if made >= limit:
            raise ValueError(
                f"only {num_test - missing} of {num_test} test puzzles differ from the training"
                f" set and each other among {CANDIDATES * num_test} tried; ask for fewer puzzles"
                " or a larger kind"
            )
        kept = num_train + len(test[0])
        more = generate_parallel(
            generate,
            missing,
            start=made,
            workers=workers,
            progress=lambda n, kept=kept: progress(kept + n),
        )
        made += missing
        new = new_classes(more[0], np.concatenate([train[0], test[0]]))
        test = tuple(np.concatenate([old, part[new]]) for old, part in zip(test, more, strict=True))
    return train, (test[0], test[1])
