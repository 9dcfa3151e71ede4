"""A Python without the packages that a training machine may lack."""

import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ABSENT = (
    "jaxtyping",
    "matplotlib",
    "safetensors",
    "huggingface_hub",
    "aqt",
    "beartype",
    "hypothesis",
    "qwix",
    "torch",
    "tensorflow",
    "pytest",
)


def bare_packages(folder: Path) -> Path:
    """Link everything installed but the packages that a training machine may lack."""
    folder.mkdir()
    for package in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if package.name.partition(".")[0] not in ABSENT and not package.name.startswith("aqtp"):
            (folder / package.name).symlink_to(package)
    return folder
