"""The documents: every page and link is there, every docstring page builds, nothing is fetched."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LENGTHS = {"README.md": 120, "BUILD.md": 150}
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)")


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    result = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert {"index.html", "reference.html"} <= {page.name for page in pages}
    for page in pages:
        fetched = re.findall(
            r'<(?:script|link|img)[^>]*(?:src|href)="https?://[^"]*"', page.read_text()
        )
        assert [tag for tag in fetched if 'rel="canonical"' not in tag] == [], page.name


@pytest.mark.parametrize("name", ["README.md", "BUILD.md", "CONTRIBUTING.md"])
def test_documents_outside_the_site_link_to_files(name: str) -> None:
    links = [link for link in LINK.findall((ROOT / name).read_text()) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", LENGTHS)
def test_documents_are_short(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= LENGTHS[name]


def test_cited_sections_of_the_reference_exist() -> None:
    sections = set(
        re.findall(r"^## (\d(?:\.\d)?) ", (ROOT / "docs/reference.md").read_text(), re.M)
    )
    sources = [
        file.read_text()
        for folder in ("trm_jax", "quant", "export", "experiments", "benchmarks", "tests")
        for file in (ROOT / folder).rglob("*.py")
    ]
    cited = {n for text in sources for n in re.findall(r"REFERENCE (\d(?:\.\d)?)", text)}
    assert cited
    assert cited <= sections


def test_named_files_exist() -> None:
    file = re.compile(
        r"(?<![\w/.-])((?:trm_jax|quant|export|experiments|benchmarks|tests|examples)/[\w./-]*\w)"
    )
    missing = {
        f"{document.relative_to(ROOT)}: {name}"
        for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        for name in file.findall(re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL))
        if not re.search(r"NAME|PROGRAM", name) and not (ROOT / name).exists()
    }
    assert missing == set()
