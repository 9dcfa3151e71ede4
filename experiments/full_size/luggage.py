"""The few small files that leave a machine: at most 8, of at most 15 MiB each.

    luggage/model.safetensors        averaged weights, bfloat16 where float32 is too large
    luggage/results.zip              everything else that is small: card, rows, sweep, config.json
    luggage/state/manifest.json,     the compact state, to go on with (--carried)
    luggage/state/part-000.bin, ...

`unpack` puts model.safetensors and results.zip back into the folder of a run.
"""

import zipfile
from pathlib import Path

from trm_jax.checkpoints.file_parts import MIB, PART_BYTES
from trm_jax.checkpoints.model_files import CONFIG_FILE, MODEL_FILE

MOST_FILES = 8
MOST_BYTES = PART_BYTES
STATE_BYTES = (MOST_FILES - 3) * PART_BYTES  # beside weights, results and the state's own manifest
RESULTS = "results.zip"
FOLDER, STATE = "luggage", "state"


def choose_storage(num_weights: int) -> str:
    """Choose the dtype of the weights: float32 where one file holds them."""
    return "float32" if 4 * num_weights < MOST_BYTES - MIB else "bfloat16"


def pack(out: Path) -> list[Path]:
    """Pack what a run has made so far; what a failed step did not make is missing.

    Returns:
      The files, the state's included.

    Raises:
      ValueError: a file is too large, or there are too many.
    """
    folder = out / FOLDER
    folder.mkdir(exist_ok=True)
    model = out / "model" / MODEL_FILE
    if model.is_file():
        (folder / MODEL_FILE).write_bytes(model.read_bytes())
    with zipfile.ZipFile(folder / RESULTS, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in small_files(out):
            archive.write(file, file.relative_to(out))
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    check_files(files)
    return files


def small_files(out: Path) -> list[Path]:
    """List the files of a run that go into the archive: all but data, weights and luggage."""
    left_out = {"data", FOLDER}
    return sorted(
        file
        for file in out.rglob("*")
        if file.is_file()
        and file.relative_to(out).parts[0] not in left_out
        and file.name != MODEL_FILE
        and not file.name.startswith(".")
    )


def check_files(files: list[Path]) -> None:
    """Check that files can be carried.

    Raises:
      ValueError: names the file that is too large, or counts them.
    """
    large = [file for file in files if file.stat().st_size > MOST_BYTES]
    if large:
        size = large[0].stat().st_size / MIB
        raise ValueError(f"{large[0]} has {size:.1f} MiB; {MOST_BYTES // MIB} MiB can be carried")
    if len(files) > MOST_FILES:
        raise ValueError(f"{len(files)} files to carry; {MOST_FILES} can be carried")


def unpack(folder: Path, out: Path) -> Path:
    """Put luggage back as the folder of a run; gives its model.

    Raises:
      FileNotFoundError: weights or results are missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / RESULTS) as archive:
        archive.extractall(out)
    model = out / "model"
    if not (model / CONFIG_FILE).is_file():
        raise FileNotFoundError(f"{folder / RESULTS} holds no model/{CONFIG_FILE}")
    (model / MODEL_FILE).write_bytes((folder / MODEL_FILE).read_bytes())
    return model
