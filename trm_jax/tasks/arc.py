"""ARC as a task: a grid of colours on a square canvas, and rows of a puzzle table.

A question has one right answer: its whole canvas must be right wherever the label scores it, as
released. Puzzles are not drawn anew or augmented in training (their images are in the data set,
each with a puzzle identifier), and they have no text form: an answer needs its puzzle's row.

Not here: votes over augmentations (experiments/arc).
"""

import numpy as np

from trm_jax.data.arc import canvas
from trm_jax.data.facts import PuzzleFacts
from trm_jax.tasks.task import Task


def vocab_size(facts: PuzzleFacts) -> int:
    """Count the tokens: pad, end of grid and the colours, whatever the canvas."""
    del facts
    return canvas.VOCAB_SIZE


def no_augmentation(facts: PuzzleFacts) -> None:
    """Return nothing: the data set holds the images of its puzzles."""
    del facts


def image_ids(questions: np.ndarray, facts: PuzzleFacts) -> np.ndarray:
    """Name questions so that equal canvases share their name.

    Augmentations of a task are questions of their own: they are data of an ARC split.
    """
    del facts
    return np.array([question.tobytes() for question in questions], object)


ARC = Task(
    name="arc",
    vocab_size=vocab_size,
    lenient=None,
    augmentation=no_augmentation,
    generator=None,
    image_ids=image_ids,
    text=None,
    tokens=None,
    data_command="trm_jax.data.arc",
)
