"""The browser that checks pages sees what is wrong with them."""

from pathlib import Path

import pytest

from tests.support.browser import Browser, BrowserError, serving

FAULTY = """<!doctype html><html lang="en"><head><title>t</title></head><body><main><h1>t</h1>
<img src="missing.png"><p style="width:600px" id="p">wide</p><input id="i" aria-label="word">
<script>console.error("said", 1); document.getElementById("none").focus()</script>
</main></body></html>"""


def test_faults_of_a_page_are_found(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(FAULTY)
    with serving(tmp_path) as address, browser.page(f"{address}page.html", width=390) as page:
        assert page.overflow > 200
        page.resize(800)
        assert page.overflow == 0
        page.until("performance.getEntriesByName(location.origin+'/missing.png').length")
        said, thrown, missing = sorted(page.errors, key=len)[:1], page.errors, page.errors
        assert said == ["said 1"]
        assert any("null" in error for error in thrown)
        assert any("404" in error and "missing.png" in error for error in missing)
        assert [line.split(":")[0] for line in page.violations("image-alt")] == ["image-alt"]


def test_a_page_is_used_by_keys_and_seen_in_both_schemes(browser: Browser, tmp_path: Path) -> None:
    file, picture = tmp_path / "page.html", tmp_path / "page.png"
    file.write_text(FAULTY)
    with browser.page(file, dark=True) as page:
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is True
        page.prefer(media="print")
        assert page.evaluate("matchMedia('print').matches") is True
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is False
        page.press("Tab", "a", "7", "Backspace")
        assert page.evaluate("document.getElementById('i').value") == "a"
        page.screenshot(picture, whole=True)
        assert picture.read_bytes().startswith(b"\x89PNG")
        with pytest.raises(BrowserError, match="no such thing"):
            page.evaluate("(() => {throw Error('no such thing')})()")
        with pytest.raises(BrowserError, match=r"false: not in 0\.1 s"):
            page.until("false", 0.1)
