"""Checkpoints of training runs: whole states, the last few kept, written by Orbax."""

from pathlib import Path
from typing import cast

import jax
import orbax.checkpoint as ocp

from trm_jax.checkpoints.model_files import State


class TrainCheckpointer:
    """Checkpoints of a training run: atomic, the last `keep` of them kept (Orbax).

    The state is any pytree of arrays; PRNG keys go in as raw data (`jax.random.key_data`).
    """

    def __init__(self, directory: Path, keep: int = 2) -> None:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            cleanup_tmp_directories=True,  # what a kill during a save left behind
            enable_async_checkpointing=False,  # small states; a returned save is on disk
        )
        self._manager = ocp.CheckpointManager(directory.absolute(), options=options)

    def save(self, step: int, state: object) -> None:
        """Write the state of a step; it is complete on disk when this returns."""
        self._manager.save(step, args=ocp.args.StandardSave(state))

    def latest(self) -> int | None:
        """Name the newest complete step, or None."""
        return self._manager.latest_step()

    def steps(self) -> list[int]:
        """List the complete steps."""
        return sorted(self._manager.all_steps())

    def restore(self, like: State, step: int | None = None) -> State:
        """Read a state back.

        Args:
          like: a pytree of the same structure, of arrays or `jax.ShapeDtypeStruct`.
          step: which step; the newest if not given.

        Raises:
          FileNotFoundError: there is no such checkpoint.
          ValueError: the stored state has another structure or other shapes.
        """
        step = self.latest() if step is None else step
        if step is None or step not in self._manager.all_steps():
            steps = sorted(self._manager.all_steps())
            raise FileNotFoundError(
                f"no checkpoint of step {step} in {self._manager.directory}; there are {steps}"
            )
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        restored = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        return cast(State, restored)

    def close(self) -> None:
        """Release the directory."""
        self._manager.close()
