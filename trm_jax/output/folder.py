"""The one frame around a program's work in its output folder: check, lock, clean, let go.

    check_named(out, KIND, resume=...)       early, before jax is imported: where --out is given
    with writing(out, KIND, resume=...):     around all of the work

`OutputKind`s stand with their programs. Files of a folder are the program's own matter.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from trm_jax.output.lock import locked, locked_beside
from trm_jax.output.ownership import OutputKind, check_output


def check_named(folder: Path | None, kind: OutputKind, *, resume: bool = True) -> None:
    """Check the folder that a command line names; one that follows from the model comes later.

    Raises:
      FileExistsError, PermissionError, OSError: as `check_output`.
    """
    if folder is not None:
        check_output(folder, kind, resume=resume)


@contextlib.contextmanager
def writing(
    folder: Path, kind: OutputKind, *, resume: bool = True, process: int | None = None
) -> Iterator[None]:
    """Hold a folder for one program: nobody else writes into it while the block runs.

    Args:
      resume: whether a folder of the program's own may hold something already.
      process: index among the processes of one run; None: there is only one.

    Raises:
      FileExistsError, PermissionError, OSError: as `check_output`.
      FolderInUseError: another process writes there.
    """
    check_output(folder, kind, resume=resume)
    with locked(folder, kind.program, process=process):
        check_output(folder, kind, resume=resume)  # another may have been at work until now
        yield


@contextlib.contextmanager
def writing_whole(folder: Path, kind: OutputKind) -> Iterator[None]:
    """Hold a folder whose files appear in one piece (staging.py): it is not made before.

    Raises:
      As `writing`.
    """
    check_output(folder, kind)
    with locked_beside(folder, kind.program):
        check_output(folder, kind)
        yield
