"""Other toolkits beside this project's quantisers: same model, same puzzles, in pairs.

    4 bits per channel   rounding to nearest, this project's GPTQ (first call, all calls), Qwix's
                         GPTQ and QEP (first call, all calls), ai-edge-quantizer's weight-only file
    4 bits per tensor    rounding to nearest, this project's GPTQ, 300 labelled updates of
                         quantisation-aware training (studies/qat.py)
    8 bits, static       this project's ranges of all positions and of cells, and the static files
                         of ai-edge-quantizer, calibrated on the first cycle and on rollouts

Every variant is compared with full precision, and says how long making it took. Toolkits see one
call of the network; `all calls` means that this project's loop collected what they are given.
Weights of Qwix are run by this project's simulation, files of ai-edge-quantizer by LiteRT.

Not here: how a toolkit is called (experiments/ablate/toolkits).
"""

import dataclasses
import functools
import time
from collections.abc import Callable

from experiments.ablate.interventions import (
    AblatedModel,
    Context,
    Effort,
    Intervention,
    NotApplicable,
    compressed,
    put_under,
    sizes,
)
from experiments.ablate.retraining import brief
from experiments.ablate.rows import Facts
from experiments.ablate.studies import qat
from experiments.ablate.toolkits import litert_files, qwix_weights
from experiments.measurement.choices import check_calibration
from quant.integer.network import has_integers
from quant.scheme import parse
from trm_jax.types import Params

BITS = 4
PER_CHANNEL, PER_TENSOR = "w4c-sym", "w4t-sym"
OURS = (f"{PER_CHANNEL}-gptq-first", f"{PER_CHANNEL}-gptq", PER_TENSOR, f"{PER_TENSOR}-gptq")
OURS_STATIC = ("w8c-sym_a8s", "w8c-sym_a8s-cells-fold")
"""Products alone; with `_tflm` everything is computed in integers, as a static file does."""
RECIPES = {
    "weight_only_wi4_afp32": PER_CHANNEL,
    "weight_only_wi8_afp32": "w8c-sym",
    "static_wi8_ai8": "w8c-sym",
    "static_wi8_ai16": "w8c-sym",
}
"""Recipe of ai-edge-quantizer -> the scheme whose weights take as many bytes."""
BESIDE = "beside"
"""Setting that names the scheme of this project which a variant is held against, in pairs."""
QUICK_RECIPES = ("weight_only_wi4_afp32",)


def interventions(context: Context) -> tuple[Intervention, ...]:
    """List full precision, this project's schemes and what toolkits make.

    Raises:
      ModuleNotFoundError: a toolkit is not installed.
      ValueError: calibration puzzles would be evaluated.
    """
    versions: Facts = {
        "qwix": qwix_weights.version(),
        "ai_edge_quantizer": litert_files.version(),
    }
    check_calibration((parse(OURS[0]),), context.num_puzzles, context.aside)
    quick = context.effort is Effort.QUICK
    ours = (PER_CHANNEL, *(OURS[:2] if quick else (*OURS, *our_static(context))))
    rows = [
        context.full(),
        *(timed(compressed(context, name)) for name in ours),
        *_of_qwix(context, versions),
        *_of_recipes(context, versions),
    ]
    if not quick:
        rows += _trained(context)
    return tuple(rows)


def our_static(context: Context) -> tuple[str, ...]:
    """List this project's static schemes, the ones held against files last."""
    integers = has_integers(context.model.config)
    return (*OURS_STATIC, *(f"{name}_tflm" for name in OURS_STATIC if integers))


def _of_qwix(context: Context, versions: Facts) -> list[Intervention]:
    """List what Qwix makes; its refusals stand with the first."""
    q, calibration = qwix_weights, context.calibration
    seen = context.calibrated_on(parse(OURS[0]))
    made: dict[str, Callable[[], Params]] = {
        "GPTQ, first call": lambda: q.gptq_first_call(calibration, BITS),
        "GPTQ, all calls": lambda: q.gptq_all_calls(calibration, BITS),
        "QEP, first call": lambda: q.qep_weights(calibration, BITS, q.first_calls(calibration)),
        "QEP, all calls": lambda: q.qep_weights(
            calibration, BITS, q.calls_of_trajectories(calibration)
        ),
    }
    if context.effort is Effort.QUICK:
        del made["QEP, all calls"], made["GPTQ, all calls"]

    def make(method: str) -> AblatedModel:
        weights = context.model.weights._replace(params=made[method]())
        model = put_under(
            context, parse("fp32"), dataclasses.replace(context.model, weights=weights)
        )
        facts: Facts = {
            **sizes(context.model.weights, parse(PER_CHANNEL)),
            "version": versions["qwix"],
        }
        if method == next(iter(made)):
            facts |= q.refusals(calibration, BITS)
        return dataclasses.replace(model, facts=facts)

    return [
        timed(
            Intervention(
                name=f"{PER_CHANNEL}, Qwix {method}",
                make=functools.partial(make, method),
                settings={"method": method, "qwix": versions["qwix"], BESIDE: OURS[1], **seen},
            )
        )
        for method in made
    ]


def _of_recipes(context: Context, versions: Facts) -> list[Intervention]:
    """List the files of ai-edge-quantizer; static ones twice, by what they are calibrated on."""
    files = litert_files
    float_file = functools.cache(lambda: files.export_floats(context.model, context.steps))

    def make(recipe: str, whole: bool | None) -> AblatedModel:
        file, samples = float_file(), None
        if whole is not None:
            puzzles = context.calibration.batches[0]
            samples = files.collect_samples(file, puzzles, steps=context.steps, whole=whole)
        content = files.quantise_file(file, recipe, samples)
        facts: Facts = {
            **sizes(context.model.weights, parse(RECIPES[recipe])),
            "file_bytes": float(len(content)),
            "version": versions["ai_edge_quantizer"],
        }
        solver = files.FileSolver(file, content, context.steps)
        return dataclasses.replace(context.original, facts=facts, solve=solver)

    beside = {"weight_only_wi4_afp32": OURS[1], "weight_only_wi8_afp32": ""}
    static = our_static(context)[-1]
    seen = context.calibrated_on(parse(OURS[0]))
    return [
        timed(
            Intervention(
                name=f"ai-edge-quantizer {name}",
                make=functools.partial(make, recipe, whole),
                settings={
                    "recipe": name,
                    "ai_edge_quantizer": versions["ai_edge_quantizer"],
                    BESIDE: beside.get(recipe, static),
                    **({} if whole is None else seen),
                },
            )
        )
        for recipe, name, whole in _cases(context)
    ]


def _cases(context: Context) -> list[tuple[str, str, bool | None]]:
    """List recipe, name, and whether it is calibrated on whole rollouts; None: on nothing."""
    cases: list[tuple[str, str, bool | None]] = []
    for recipe in QUICK_RECIPES if context.effort is Effort.QUICK else RECIPES:
        if not recipe.startswith("static"):
            cases.append((recipe, recipe, None))
            continue
        for words, whole in {"first cycle": False, "rollouts": True}.items():
            cases.append((recipe, f"{recipe}, {words}", whole))
    return cases


def _trained(context: Context) -> list[Intervention]:
    """Train through the rounding, where there are training puzzles."""
    recipe = brief(context.effort.of(qat.STEPS), qat.BATCH, qat.LR, context.seed)
    try:
        trained = qat.straight_through(context, "int4_naive", recipe)
        settings = trained.settings | {BESIDE: OURS[-1]}
        return [dataclasses.replace(trained, settings=settings)]
    except NotApplicable as reason:
        context.announce(f"no QAT: {reason}")
        return []


def timed(intervention: Intervention) -> Intervention:
    """Note how long making a variant takes, what it shares with others counted where it is made."""

    def make() -> AblatedModel:
        began = time.monotonic()
        model = intervention.make()
        seconds = round(time.monotonic() - began, 1)
        return dataclasses.replace(model, facts=model.facts | {"make_seconds": seconds})

    return dataclasses.replace(intervention, make=make, made_once=intervention.name)
