"""The page: puzzles as data, drawn by a small script of its own; no outside resource.

The recordings lie in the page as JSON. Not here: what is recorded (recording.py), how a page of
tables looks (experiments/render/html_page.py).
"""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from experiments.render.scheme_style import DARK, LIGHT, SERIES, scheme_index
from experiments.watch.job import WatchJob
from experiments.watch.recording import Recording, WatchedView
from experiments.watch.script import SCRIPT, STYLE
from quant.scheme import short_name

SYMBOLS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""One letter a token: tokens of all tasks are fewer."""


def render(job: WatchJob, views: Sequence[WatchedView]) -> str:
    """Write the page."""
    model, steps = job.model, job.steps
    title = f"{model.name} on {job.puzzles.name}, cycle by cycle"
    about = (
        f"{model.architecture}, {model.num_parameters:,} weights; {steps} supervision steps of"
        f" {model.config.H_cycles} H-cycles. Simulated as exports compute."
    )
    data = json.dumps(page_data(job, views), separators=(",", ":"), allow_nan=False)
    body = BODY.format(
        title=escape(title), about=escape(about), data=data.replace("<", "\\u003c"), script=SCRIPT
    )
    head = HEAD.format(title=escape(title), style=f"{STYLE}{colour_rules(job.schemes)}")
    return f'<!doctype html>\n<html lang="en">{head}{body}</html>\n'


HEAD = (
    '<head><meta charset="utf-8"><meta name="viewport"'
    ' content="width=device-width,initial-scale=1"><title>{title}</title>'
    "<style>{style}</style></head>"
)
BODY = """
<body><main>
<h1>{title}</h1>
<p class="soft">{about}</p>
<p><label>Puzzle <select id="which"></select></label></p>
<div class="bar"><button id="play" type="button">Play</button>
<label class="slide">H-cycle <output id="at"></output>
<input id="cycle" type="range" min="1" value="1"></label></div>
<div id="boards"></div>
<p class="soft"><span class="key wrong"></span> wrong: the answer has another
<span class="key broken"></span> breaks a rule (outlined)</p>
<p class="soft">After every H-cycle; the upright line is the one shown. <span id="key"></span></p>
<div id="curves"></div>
<noscript><p>The page draws its puzzles with a script, which is switched off.</p></noscript>
</main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script></body>"""


def colour_rules(schemes: Sequence[str]) -> str:
    """Give every scheme its colour, --s0 and on in the order of the schemes, on white and dark."""
    indices = [scheme_index(each) % SERIES for each in schemes]
    light, dark = (
        ";".join(f"--s{at}:{colours[i]}" for at, i in enumerate(indices))
        for colours in (LIGHT, DARK)
    )
    return f"\n:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def page_data(job: WatchJob, views: Sequence[WatchedView]) -> dict[str, Any]:
    """Collect what the script draws."""
    facts = job.puzzles.facts
    return {
        "task": facts.task,
        "rows": facts.grid[0],
        "columns": facts.grid[1],
        "box": facts.box,
        "perStep": job.model.config.H_cycles,
        "puzzles": [_puzzle_data(each) for each in views],
    }


def _puzzle_data(each: WatchedView) -> dict[str, Any]:
    watched, partings = each.watched, each.partings
    apart = "; ".join(f"{name} parts at H-cycle {cycle}" for name, cycle in partings.items())
    return {
        "name": f"{watched.name}; {apart}" if apart else watched.name,
        "given": _letters(watched.puzzle),
        "schemes": [
            _scheme_data(recording, partings.get(short_name(recording.scheme)))
            for recording in each.recordings
        ],
    }


def _scheme_data(recording: Recording, parts: int | None) -> dict[str, Any]:
    wrong = recording.wrong
    return {
        "name": short_name(recording.scheme),
        "parts": parts,
        "tokens": [_letters(answer) for answer in recording.tokens],
        "right": recording.right.astype(int).tolist(),
        "wrong": [np.flatnonzero(marks).tolist() for marks in wrong],
        "broken": [np.flatnonzero(marks).tolist() for marks in recording.violations],
        "curves": {
            "Wrong cells": wrong.sum(axis=1).tolist(),
            "Halting logit": _rounded(recording.q_halt),
            "Fidelity to full precision": _rounded(recording.fidelity),
            "Residual": _rounded(recording.residual),
        },
    }


def _letters(tokens: np.ndarray) -> str:
    return "".join(SYMBOLS[int(token)] for token in tokens)


def _rounded(values: np.ndarray) -> list[float | None]:
    numbers = (round(float(value), 5) for value in values)
    return [number if np.isfinite(number) else None for number in numbers]
