"""Augment ARC tasks as released: a dihedral transform, then a permutation of colours 1 to 9.

An augmentation is its name: `TASK|||t3|||0481529637` turns grids by transform 3 and paints
colour k in the k-th digit's colour; black stays. The task name alone is the identity. HRM's older
builder joined with "_", which task names may hold; it is not read here.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from trm_jax.data.arc.task_files import NUM_COLOURS, ArcTask, Grid, Pair
from trm_jax.data.grids import NUM_TRANSFORMS, dihedral_transform, inverse_dihedral_transform

SEPARATOR = "|||"
RETRIES = 5  # draws per augmentation asked for, before a task counts as exhausted
SHAPE_OFFSET = 128  # keeps sides (1 to 30) apart from colours under a permutation


class Augmentation(NamedTuple):
    """What is done to every grid of a task.

    Attributes:
      transform: dihedral transform, 0 to 7.
      colours: ten bytes; colour k becomes colours[k].
    """

    transform: int
    colours: bytes


IDENTITY = Augmentation(0, bytes(range(NUM_COLOURS)))


def augmented_name(task: str, augmentation: Augmentation) -> str:
    """Name an augmented task; the identity keeps the task's name."""
    if augmentation == IDENTITY:
        return task
    digits = "".join(map(str, augmentation.colours))
    return f"{task}{SEPARATOR}t{augmentation.transform}{SEPARATOR}{digits}"


def parse_name(name: str) -> tuple[str, Augmentation]:
    """Split the name of an augmented task.

    Raises:
      ValueError: neither a name without suffix nor NAME|||tN|||DIGITS.
    """
    if SEPARATOR not in name:
        return name, IDENTITY
    task, *parts = name.split(SEPARATOR)
    transforms = {f"t{n}": n for n in range(NUM_TRANSFORMS)}
    if len(parts) != 2 or parts[0] not in transforms or sorted(parts[1]) != list("0123456789"):
        raise ValueError(
            f"an identifier reads NAME or NAME{SEPARATOR}t0 to t7{SEPARATOR}and the ten colours"
            f" in some order, got {name!r}"
        )
    return task, Augmentation(transforms[parts[0]], bytes(map(int, parts[1])))


def augment(grid: Grid, augmentation: Augmentation) -> Grid:
    """Paint and turn a grid."""
    colours = np.frombuffer(augmentation.colours, np.uint8)
    return dihedral_transform(colours[grid], augmentation.transform)


def inverse_augment(grid: Grid, augmentation: Augmentation) -> Grid:
    """Undo `augment`. Grids without cells, which a model may answer, are legal."""
    colours = np.argsort(np.frombuffer(augmentation.colours, np.uint8)).astype(np.uint8)
    return colours[inverse_dihedral_transform(grid, augmentation.transform)]


def draw(rng: np.random.RandomState) -> Augmentation:
    """Draw an augmentation in the released order: transform first, then the colours.

    Args:
      rng: NumPy's legacy generator, whose stream fixes the published identifiers.
    """
    transform = int(rng.randint(0, NUM_TRANSFORMS))
    return Augmentation(transform, b"\0" + bytes(rng.permutation(_PAINTS)))


_PAINTS = np.arange(1, NUM_COLOURS, dtype=np.uint8)


class _Images:
    """Digests of augmented tasks; two are equal if their pairs are, in whatever order.

    Turned pairs are kept as bytes, so that a draw costs one `bytes.translate` per pair.
    """

    def __init__(self, pairs: Iterable[Pair]):
        pairs = tuple(pairs)
        self.turned = [[_cells(pair, t) for pair in pairs] for t in range(NUM_TRANSFORMS)]

    def digest(self, augmentation: Augmentation) -> bytes:
        table = augmentation.colours + _OTHER_BYTES
        pairs = sorted(cells.translate(table) for cells in self.turned[augmentation.transform])
        return hashlib.sha256(b"".join(pairs)).digest()


_OTHER_BYTES = bytes(range(NUM_COLOURS, 256))


def _cells(pair: Pair, transform: int) -> bytes:
    """Write a turned pair as bytes from which it could be read back; no output is no grid."""
    parts = []
    for grid in (pair.input, pair.output):
        if grid is not None:
            turned = dihedral_transform(grid, transform)
            parts += [bytes(side + SHAPE_OFFSET for side in turned.shape), turned.tobytes()]
    return b"".join(parts)


def augmentations(
    task: ArcTask, num: int, rng: np.random.RandomState, known: Iterable[Augmentation] = ()
) -> Iterator[Augmentation]:
    """Draw augmentations under which a task looks different each time.

    The draws, and when they end, are the released ones, so that the same generator gives the
    same identifiers. A task with few colours or much symmetry yields fewer than `num`.

    Args:
      task: whose pairs, demonstrations and questions alike, decide what looks different.
      num: how many, the identity not counted.
      rng: NumPy's legacy generator.
      known: augmentations not to be drawn again, as when more are wanted than were trained on.

    Raises:
      ValueError: `num` is negative.
    """
    if num < 0:
        raise ValueError(f"the number of augmentations must be 0 or more, got {num}")
    images = _Images(task.pairs)
    seen = {images.digest(augmentation) for augmentation in (IDENTITY, *known)}
    num_drawn = 0
    for _ in range(RETRIES * num):
        augmentation = draw(rng)
        digest = images.digest(augmentation)
        if digest not in seen:
            seen.add(digest)
            num_drawn += 1
            yield augmentation
            if num_drawn == num:
                return
