"""Test set-up: strict JAX, shapes checked at run time, the optional shared folder."""

import gc
import os
from pathlib import Path

from tests.support.compiled import share_compiled_programs

os.environ.setdefault("JAX_PLATFORMS", "cpu")
share_compiled_programs()

from jaxtyping import install_import_hook  # noqa: E402 - JAX comes after its settings

# Shapes are checked in tests only: the hook rewrites the packages as they are imported.
install_import_hook(["trm_jax", "quant", "export"], "beartype.beartype")

import jax  # noqa: E402 - the hook comes first
import pytest  # noqa: E402

pytest_plugins = ["tests.support.browser"]  # the fixture `browser`

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# Tracing makes many short-lived objects in a heap that grows with the run; collecting it less often
# takes a thirtieth of the suite's time off.
gc.set_threshold(20_000, 25, 50)

ROOT = Path(__file__).resolve().parent.parent


def shared_dir() -> Path:
    """Find the folder of golden outputs and public data beside the checkout, or skip."""
    path = ROOT.parent / "shared"
    if not (path / "golden").is_dir():
        pytest.skip(f"needs golden outputs and data in {path.name}/ beside the checkout")
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder, or a skip that says so."""
    return shared_dir()


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    """Outputs of the released PyTorch code."""
    return shared / "golden"
