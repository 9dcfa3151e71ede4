"""Several processes as one run: JAX's own start-up, a barrier, and who reports."""

from dataclasses import dataclass

import jax
from jax.experimental import multihost_utils


@dataclass(frozen=True)
class Process:
    """This process among all of a run.

    Attributes:
      index: None where there is only one process.
      count: processes of the run.
    """

    index: int | None = None
    count: int = 1

    @property
    def shard_offset(self) -> int:
        """First of this process's shards; the next ones follow `count` apart."""
        return self.index or 0

    @property
    def reports(self) -> bool:
        """Return whether this process prints and writes the report."""
        return not self.index

    def wait_for_others(self, name: str) -> None:
        """Return when every process has come here."""
        if self.count > 1:
            multihost_utils.sync_global_devices(name)


def start(coordinator: str | None, count: int | None, index: int | None) -> Process:
    """Join the other processes, before JAX touches a device.

    Args:
      coordinator: HOST:PORT of process 0, or None for a run of one process.
      count, index: processes, and which one this is; None where the cluster tells JAX.

    Raises:
      ValueError: a count or index without a coordinator, or an index outside the count.
    """
    if coordinator is None:
        if count is not None or index is not None:
            raise ValueError("--num-processes and --process-id need --coordinator HOST:PORT")
        return Process()
    if count is not None and index is not None and not 0 <= index < count:
        raise ValueError(f"--process-id must be 0 to {count - 1}, got {index}")
    try:
        jax.distributed.initialize(coordinator, count, index)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"cannot join the run at {coordinator}: {error}") from error
    return Process(jax.process_index(), jax.process_count())
