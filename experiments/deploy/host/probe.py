"""Time one export, and weigh it, in a process of its own.

    python -m experiments.deploy.host.probe runs/int4
    python -m experiments.deploy.host.probe runs/int4 --threads 2 --repeats 20

Prints one line of JSON: wall times of one supervision step (all its block calls and the head,
for a full batch) in ms, after two steps that do not count, and the peak resident memory that
runtime and model added, in bytes.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trm_jax.command_line import exit_code, make_parser, positive_int, user_path

STATUS = Path("/proc/self/status")
WARM = 2


def resident(field: str) -> int:
    """Read VmRSS or VmHWM of this process, bytes; 0 where there is no /proc."""
    if not STATUS.exists():
        return 0
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def probe(folder: Path, threads: int, repeats: int) -> dict[str, object]:
    """Run supervision steps of an export on one full batch.

    Raises:
      ValueError, OSError, RuntimeError: missing, damaged, or refused by the runtime.
    """
    # imports jax: not for the command line
    from export.artifact.open import open_artifact
    from export.artifact.solver import Solver
    from export.runtimes.registry import open_runtime

    export = open_artifact(folder)
    config, manifest = export.config, export.manifest
    before = resident("VmRSS")
    runtime = open_runtime(manifest.target, export.model, threads=threads)
    try:
        solver = Solver(export, runtime)
        rng = np.random.default_rng(0)
        inputs = rng.integers(1, config.vocab_size, (manifest.batch, config.seq_len))
        times = []
        for _ in range(WARM + repeats):
            start = time.perf_counter()
            solver.solve(inputs.astype(np.int32), steps=1)
            times.append(1e3 * (time.perf_counter() - start))
    finally:
        runtime.close()
    return {"step_ms": times[WARM:], "memory_bytes": max(resident("VmHWM") - before, 0)}


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("experiments.deploy.host.probe", __doc__)
    p.add_argument("folder", type=user_path, metavar="DIR", help="of an export")
    p.add_argument(
        "--threads", type=positive_int, default=1, metavar="N", help="of the runtime (%(default)s)"
    )
    p.add_argument(
        "--repeats",
        type=positive_int,
        default=9,
        metavar="N",
        help="steps that count (%(default)s)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        if args.repeats < 1:
            raise ValueError(f"--repeats must be at least 1, got {args.repeats}")
        measured = probe(args.folder, args.threads, args.repeats)
        sys.stdout.write(json.dumps(measured) + "\n")

    return exit_code(action, (OSError, ValueError, RuntimeError))


if __name__ == "__main__":
    sys.exit(main())
