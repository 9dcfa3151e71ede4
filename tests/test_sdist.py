"""The source distribution holds all that is under version control; the wheel no tests."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from benchmarks.structure import ROOT

pytestmark = pytest.mark.slow
BUILD = """
import sys
from setuptools.build_meta import build_sdist, build_wheel
out = sys.argv[1]  # the first build changes sys.argv
build_sdist(out)
build_wheel(out)
"""
PACKAGE_DATA = (
    "py.typed",
    "firmware/Makefile",
    "firmware/tflm/tflm_block.cc",
    "stand_ins/",
    "demo/page/rules.js",
)


def tracked() -> list[str]:
    """List the files under version control, or skip."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout: it lists what a release must hold")
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both from a copy of the checkout, without a network."""
    pytest.importorskip("setuptools", minversion="77")
    root = tmp_path_factory.mktemp("release")
    for name in tracked():
        (root / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, root / "source" / name)
    subprocess.run(
        [sys.executable, "-c", BUILD, str(root)],
        cwd=root / "source",
        capture_output=True,
        check=True,
    )
    return root


def test_the_sdist_holds_every_file(built: Path) -> None:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert set(tracked()) - held == set()


def test_the_wheel_holds_packages_and_their_data_alone(built: Path) -> None:
    (file,) = built.glob("*.whl")
    held = zipfile.ZipFile(file).namelist()
    tops = {name.split("/")[0] for name in held}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "trm_jax",
        "quant",
        "export",
        "experiments",
    }
    for part in PACKAGE_DATA:
        assert any(part in name for name in held), part
    zoo = [name for name in tracked() if name.startswith("trm_jax/zoo/")]
    assert set(zoo) <= set(held)
