"""Cards of the bundled models: metadata that reads as YAML, weight counts equal to the files'."""

import math
import re
from typing import Any

import pytest
import yaml
from safetensors import safe_open

from trm_jax import zoo

SECTIONS = ("Facts", "Intended use", "Limitations")


BUNDLED = zoo.MODELS | zoo.DECODERS | zoo.ADAPTERS
KINDS = (
    dict.fromkeys(zoo.MODELS, "recursive-reasoning")
    | dict.fromkeys(zoo.DECODERS, "autoregressive")
    | dict.fromkeys(zoo.ADAPTERS, "lora")
)


def parts(name: str) -> tuple[dict[str, Any], str]:
    """Split a card into its front matter and its text."""
    card = (BUNDLED[name].directory / "README.md").read_text(encoding="utf-8")
    _, front, text = re.split(r"^---\n", card, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(front), text


def sizes(name: str) -> dict[str, int]:
    """Count the elements of every tensor in a model's file."""
    (file,) = BUNDLED[name].directory.glob("*.safetensors")
    with safe_open(file, "numpy") as file:
        return {key: math.prod(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("name", BUNDLED)
def test_front_matter_has_what_a_model_hub_reads(name: str) -> None:
    front, text = parts(name)
    assert front["license"] == "apache-2.0"
    assert {KINDS[name], BUNDLED[name].task} <= set(front["tags"])
    (model,) = front["model-index"]
    assert model["name"] == name
    (result,) = model["results"]
    assert result["task"]["type"]
    assert result["task"]["name"]
    assert {"type", "name", "split"} <= result["dataset"].keys()
    metrics = {metric["type"]: metric["value"] for metric in result["metrics"]}
    cells = () if name in zoo.ADAPTERS else ("accuracy",)  # its program counts whole answers
    assert metrics.keys() == {"exact_match", *cells}
    rows = r"\| (2 \| )?(4|16) \||\| greedy \|"
    full = [line for line in text.splitlines() if re.match(rows, line)][-1]
    for value in metrics.values():
        assert re.search(rf"\b{re.escape(str(value))}", full), f"{value} is not in {full!r}"


@pytest.mark.parametrize("name", BUNDLED)
def test_card_has_its_sections(name: str) -> None:
    _, text = parts(name)
    assert text.lstrip().startswith(f"# {name}\n")
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == SECTIONS


@pytest.mark.parametrize("name", BUNDLED)
def test_card_counts_the_weights_that_the_file_holds(name: str) -> None:
    _, text = parts(name)
    stated = re.search(r"^- \*\*Weights\*\*: ([\d,]+)(?:, and ([\d,]+) of the table)?", text, re.M)
    assert stated is not None
    counted = sizes(name)
    table = counted.pop("puzzle_emb", 0)  # programs print the count without it
    assert int(stated[1].replace(",", "")) == sum(counted.values())
    if stated[2]:
        assert int(stated[2].replace(",", "")) == table
