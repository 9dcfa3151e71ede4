"""The folders that programs of experiments write, and what each is known by.

A light module: a program checks its --out before it imports jax. What the folders hold is each
program's rows.py; the rules are trm_jax/output/ownership.py's. Here too: what a file is called that
is named after a scheme or a stage (`file_stem`).
"""

import hashlib
import re

from trm_jax.output.ownership import OutputKind

SWEEP = OutputKind("experiments.sweep", "a sweep", ("spec*.json",))
ABLATION = OutputKind("experiments.ablate", "an ablation", ("ablation*.json",))
VOTE = OutputKind("experiments.arc", "a vote", ("votes*.json",))
DEPLOYMENT = OutputKind(
    "experiments.deploy",
    "a deployment",
    ("deployment*.json", "rows.jsonl", "exports/*/manifest.json"),
)
"""Earlier versions had rows alone, whose reader refuses others', and after a dry run exports."""
FOOTPRINT = OutputKind(
    "experiments.footprint", "a folder of footprints", ("footprint.jsonl",), frozenset({"config"})
)
PREDICTOR = OutputKind("experiments.predictor", "a study of predictors", ("predictor.md",))
RECIPE = OutputKind("experiments.recipe", "a search for a recipe", ("recipe.json",))
COMPARISON = OutputKind("experiments.decode", "a comparison", ("decode.json",))
WATCH = OutputKind("experiments.watch", "a viewer", ("watch.html",))
DEMO = OutputKind("experiments.demo", "a demo", ("site.json",), frozenset({"runtime", "models"}))
STUDY = OutputKind("experiments.decode", "a study of tokens", ("study.json",))
TRAINING = OutputKind("experiments.train", "a training run", ("spec.json",))
FULL_SIZE = OutputKind(
    "experiments.full_size", "a full-size run", ("full_size.json",), resumes=False
)
REPORT = OutputKind(
    "experiments.report", "a report", ("jobs.jsonl",), frozenset({"command", "seconds"})
)
JOINED_SWEEP = OutputKind(
    "experiments.report",
    "a sweep's tables",
    ("spec*.json", "grid.md", "grid.csv", "summary.md"),
)
ARENAS = OutputKind(
    "experiments.deploy.cortex_m.arena", "a folder of arenas", ("rows.jsonl",), frozenset({"graph"})
)
TEXT = OutputKind("experiments.decode.text", "a study of text", ("text.json",))

LONGEST_STEM = 120
"""Characters of a file's name without its ending; file systems take 255 bytes."""


def file_stem(text: str) -> str:
    """Name a file after a scheme or a stage; a recipe's scheme names sites, which have slashes.

    Returns:
      The text itself where it is short and of letters, digits and _.,=+[]-; else others are -, and
      what is too long ends in a hash of the whole.
    """
    plain = re.sub(r"[^\w.,=+\[\]-]+", "-", text)
    if len(plain) <= LONGEST_STEM:
        return plain
    return f"{plain[:LONGEST_STEM]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
