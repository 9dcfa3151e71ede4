"""Pages as a browser draws them, where a Chromium that needs no display is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a Chromium that runs without a display"
)
MEASURE = "<script>document.body.dataset.widths=document.documentElement.scrollWidth+' '+innerWidth"


def drawn(page: Path, profile: Path, *, width: int = 1000, anchor: str = "") -> str:
    """Return the document after its scripts have run.

    Args:
      profile: folder for what the browser writes.
      width: of the window in pixels; 500 is the least.
      anchor: behind the # of the address.
    """
    words = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        "--virtual-time-budget=500",
    )
    size, home = f"--window-size={width},900", f"--user-data-dir={profile}"
    return subprocess.run(
        [str(CHROMIUM), *words, size, home, f"file://{page}#{anchor}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout


def overflow(page: Path, folder: Path, width: int) -> int:
    """Measure by how many pixels a page is wider than its window."""
    copy = folder / "measured.html"
    copy.write_text(page.read_text().replace("</body>", f"{MEASURE}</script></body>"))
    text = drawn(copy, folder / "profile", width=width)
    content, window = text.partition('data-widths="')[2].partition('"')[0].split()
    return max(0, int(content) - int(window))
