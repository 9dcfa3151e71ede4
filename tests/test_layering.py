"""The tree is the architecture: imports run one way, folder by folder, and folders stay small.

All of it is read off the source, nothing is imported. `PLACES` is the order of the folders; a new
file or folder that no entry covers fails until it has one.
"""

import ast
import functools
import re
import sys

import pytest

from benchmarks.structure import (
    MAIN_GUARD,
    PACKAGES,
    ROOT,
    count_files,
    count_lines,
    count_skips,
    find_circles,
    find_classes,
    find_imports,
    find_modules,
    find_repeated_classes,
    parse_file,
    read_text,
)

PACKAGE_ORDER = {
    "trm_jax": {"trm_jax"},
    "quant": {"trm_jax", "quant"},
    "export": {"trm_jax", "quant", "export"},
    "experiments": {"trm_jax", "quant", "export", "experiments"},
    "benchmarks": set(PACKAGES),
}
"""Packages that each package may import."""

PLACES = {
    # trm_jax: types and configurations, networks, loops, files of models, what people load
    "trm_jax.face": (),
    "trm_jax.types": (),
    "trm_jax.names": (),
    "trm_jax.typed_json": (),
    "trm_jax.config": ("trm_jax.names", "trm_jax.typed_json"),
    "trm_jax.command_line": ("trm_jax.names",),
    "trm_jax.output": ("trm_jax.typed_json",),  # folders that programs write
    "trm_jax.intervals": (),
    "trm_jax.halting": (),
    "trm_jax.metrics": ("trm_jax.types",),
    "trm_jax.sharding": ("trm_jax.types",),
    "trm_jax.models": ("trm_jax.types", "trm_jax.config"),
    "trm_jax.decoder.config": ("trm_jax.config",),
    "trm_jax.evaluators": (
        "trm_jax.models",
        "trm_jax.metrics",
        "trm_jax.sharding",
        "trm_jax.halting",
    ),
    "trm_jax.training.augment": ("trm_jax.types",),  # the symmetries that a task has
    "trm_jax.training": (
        "trm_jax.models",
        "trm_jax.metrics",
        "trm_jax.sharding",
        "trm_jax.training.augment",
    ),
    "trm_jax.decoder": ("trm_jax.decoder.config", "trm_jax.models", "trm_jax.training"),
    "trm_jax.data.facts": ("trm_jax.typed_json",),
    "trm_jax.data": ("trm_jax.command_line", "trm_jax.data.facts", "trm_jax.output"),
    "trm_jax.data.sudoku": ("trm_jax.data",),
    "trm_jax.data.maze": ("trm_jax.data",),
    "trm_jax.data.arc": ("trm_jax.data",),
    "trm_jax.tasks": (
        "trm_jax.data.sudoku",
        "trm_jax.data.maze",
        "trm_jax.data.arc",
        "trm_jax.decoder.config",
        "trm_jax.evaluators",
        "trm_jax.halting",
        "trm_jax.training.augment",
    ),
    "trm_jax.checkpoints": (
        "trm_jax.evaluators",
        "trm_jax.training",
        "trm_jax.data.facts",
        "trm_jax.output",
    ),
    "trm_jax.tasks.describe": ("trm_jax.checkpoints", "trm_jax.tasks"),
    "trm_jax.convert": ("trm_jax.checkpoints", "trm_jax.tasks"),
    "trm_jax.decoder.files": ("trm_jax.decoder", "trm_jax.convert"),
    "trm_jax.decoder.model_folder": (
        "trm_jax.decoder",
        "trm_jax.checkpoints",
        "trm_jax.tasks",
    ),
    "trm_jax.zoo": ("trm_jax.checkpoints", "trm_jax.tasks", "trm_jax.decoder.model_folder"),
    "trm_jax.loading": ("trm_jax.convert", "trm_jax.zoo"),
    "trm_jax.decoder.loading": (
        "trm_jax.decoder.files",
        "trm_jax.decoder.model_folder",
        "trm_jax.loading",
    ),
    "trm_jax.tasks.calibration": ("trm_jax.loading",),
    "trm_jax.scores": ("trm_jax.loading", "trm_jax.intervals"),
    # quant: grids, schemes, quantisers, TFLite Micro's integers, the simulation of a device
    "quant.affine": (),
    "quant.packing": ("quant.affine",),
    "quant.sites": (),
    "quant.scheme": ("quant.affine", "quant.sites"),
    "quant.recipe": ("quant.scheme",),
    "quant.puzzle_table": ("quant.affine",),
    "quant.dot_general": ("quant.scheme",),
    "quant.carry": ("quant.dot_general",),
    "quant.precision_plan": ("quant.recipe",),
    "quant.ptq": ("quant.packing", "quant.carry", "quant.precision_plan"),
    "quant.prune": ("quant.ptq",),
    "quant.integer.encoding": (),
    "quant.integer.kernels": ("quant.integer.encoding",),
    "quant.integer": ("quant.integer.kernels", "quant.ptq"),
    "quant.simulation": ("quant.integer",),
    "quant.decoder": ("quant.simulation",),
    # export: runtimes, graphs, models as graphs, files on disk, packages, commands
    "export.targets": (),
    "export.graph": ("export.targets",),
    "export.lowering": ("export.graph",),
    "export.legality": ("export.graph",),
    "export.runtimes": ("export.graph",),
    "export.artifact": ("export.lowering", "export.legality", "export.runtimes"),
    "export.cortex_m": ("export.artifact",),
    "export.ethos_u.accelerators": (),
    "export.ethos_u": ("export.artifact", "export.ethos_u.accelerators"),
    "export.pipeline": ("export.artifact",),
    "export.decoder": ("export.pipeline",),
    "export.options": ("export.targets",),
    "export.job": ("export.options", "export.decoder", "export.ethos_u"),
    "export.tflite": ("export.job",),
    "export.onnx": ("export.tflite",),  # the same command for another file format
    "export.verify": ("export.options", "export.decoder"),
    "export.solve": ("export.options", "export.decoder"),
    "export.micro": ("export.cortex_m", "export.options", "export.decoder"),
    "export.board": ("export.cortex_m",),
    "export.aihub": (),
    "export.footprint": (),
    # experiments: what programs share, then programs, then readers of results
    "experiments.measurement": (),
    "experiments.paper": (),
    "experiments.render": ("experiments.measurement", "experiments.paper"),
    "experiments.jobs": ("experiments.render",),
    "experiments.sweep": ("experiments.jobs",),
    "experiments.ablate": ("experiments.jobs",),
    "experiments.arc": ("experiments.jobs",),
    "experiments.train": ("experiments.jobs",),
    "experiments.footprint": ("experiments.jobs",),
    "experiments.recipe": ("experiments.jobs",),
    "experiments.watch": ("experiments.jobs",),
    "experiments.demo": ("experiments.jobs",),
    "experiments.decode": ("experiments.jobs",),
    "experiments.deploy.host": ("experiments.jobs",),
    "experiments.deploy.cortex_m": ("experiments.jobs",),
    "experiments.deploy.ethos_u": ("experiments.deploy.cortex_m",),
    "experiments.deploy.aihub": ("experiments.jobs",),
    "experiments.deploy": (
        "experiments.deploy.host",
        "experiments.deploy.cortex_m",
        "experiments.deploy.ethos_u",
        "experiments.deploy.aihub",
    ),
    "experiments.full_size": ("experiments.sweep", "experiments.train"),
    "experiments.predictor": ("experiments.sweep",),
    "experiments.pack": ("experiments.sweep",),
    "experiments.report": (
        "experiments.predictor",
        "experiments.ablate",
        "experiments.arc",
        "experiments.decode",
        "experiments.deploy",
        "experiments.footprint",
        "experiments.recipe",
    ),
    # benchmarks: what programs share, then programs
    "benchmarks.options": (),
    "benchmarks.timing": (),
    "benchmarks.subject": (),
    "benchmarks.torch_reasoner": (),
    "benchmarks.cluster": ("benchmarks.options",),
    "benchmarks.depth_grid": (
        "benchmarks.options",
        "benchmarks.timing",
        "benchmarks.subject",
        "benchmarks.torch_reasoner",
    ),
    "benchmarks.puzzle_step": (
        "benchmarks.options",
        "benchmarks.timing",
        "benchmarks.subject",
        "benchmarks.torch_reasoner",
    ),
    "benchmarks.integer_rollout": ("benchmarks.options", "benchmarks.timing", "benchmarks.subject"),
    "benchmarks.integer_products": ("benchmarks.options", "benchmarks.timing"),
    "benchmarks.peak_memory": ("benchmarks.options", "benchmarks.structure"),
    "benchmarks.latency": ("benchmarks.options", "benchmarks.timing", "benchmarks.subject"),
    "benchmarks.rollout_gflops": ("benchmarks.options", "benchmarks.timing", "benchmarks.subject"),
    "benchmarks.sequence_length": ("benchmarks.options", "benchmarks.timing"),
    "benchmarks.structure": (),
}
"""Places of each package, from the bottom up, and the places directly below. A place may import
those and all that they may import; it covers everything under its name that has no entry."""

FACE = "trm_jax.face"
"""What faces (`__init__.py`) import to import the rest late. A package's own face has no place: it
may import all of its package, and no module of the package imports it."""

READERS = ("experiments.predictor", "experiments.pack", "experiments.report")
"""Programs that read other programs' results."""

NO_RESULTS = {"__main__", "command", "runner"}
"""Rooms of a program that its readers leave alone: they read results and start nothing."""

SHARED = {f"experiments.{name}" for name in ("measurement", "paper", "render", "jobs")}

ONLY_IN = {
    "torch": ("trm_jax.convert.torch_files", "benchmarks."),
    "yaml": ("trm_jax.convert.released_yaml", "experiments.deploy.aihub.tables"),
    "huggingface_hub": ("trm_jax.data.hub",),
    "orbax": ("trm_jax.checkpoints",),
    "aqt": ("quant.dot_general",),
    "ai_edge_litert": ("export.",),
    "flatbuffers": ("export.graph",),
    "litert_converter": ("export.lowering.reference",),
    "tensorflow": ("export.",),
    "qwix": ("experiments.ablate.toolkits",),
    "ai_edge_quantizer": ("experiments.ablate.toolkits",),
    "tflite_micro": ("export.",),
    "tflite_runtime": ("export.",),
    "qai_hub": ("export.aihub",),
    "requests": ("export.aihub",),  # comes with qai_hub
    "gguf": ("trm_jax.decoder.files",),
    "tokenizers": ("trm_jax.decoder.files",),
    "reasoning_gym": ("experiments.decode.reasoning",),
    "pyarrow": ("experiments.measurement.packed.row_groups",),
    "ray": ("experiments.jobs.ray_engine", "benchmarks."),
    "onnx": ("export.graph", "benchmarks."),
    "onnxruntime": ("export.runtimes", "benchmarks."),
}
"""Foreign packages and the modules (by prefix) that may know them; benchmarks have rivals."""

FILE_PLACES = {
    "trm_jax.checkpoints",
    "trm_jax.command_line",
    "trm_jax.convert",
    "trm_jax.data",
    "trm_jax.decoder.files",
    "trm_jax.decoder.loading",
    "trm_jax.decoder.model_folder",
    "trm_jax.loading",
    "trm_jax.output",
    "trm_jax.scores",
    "trm_jax.tasks",
    "trm_jax.zoo",
}
"""Input and output of trm_jax: modules of numbers never import them."""

MAX_FILES = 12
MAX_LINES = 600
MAX_SKIPS = 30
GENERAL_NOUNS = {"Job", "Model", "Plan", "Row", "Spec", "Task", "Verdict"}
"""Nouns that say nothing without another word: half of the programs have rows and jobs."""

MODULES = find_modules()
TESTS = find_modules(ROOT, ("tests",))


def is_in(module: str, place: str) -> bool:
    return module == place or module.startswith(place + ".")


def place_of(module: str) -> str | None:
    """Find the longest entry of `PLACES` that covers a module; a package's own has none."""
    return max((place for place in PLACES if is_in(module, place)), key=len, default=None)


def places_below(place: str) -> set[str]:
    """Collect what a place may import of its own package, itself included."""
    return {place}.union(*(places_below(other) for other in PLACES[place]))


def is_face(module: str) -> bool:
    return MODULES[module].name == "__init__.py"


def is_numeric(module: str) -> bool:
    in_files = any(is_in(module, place) for place in FILE_PLACES)
    return module.startswith(("trm_jax.", "quant.")) and not in_files


@functools.cache
def imports(module: str) -> set[str]:
    return find_imports(module, MODULES)


def our_imports(module: str) -> set[str]:
    """List the imports of a module that are parts of this repository."""
    ours = (*PACKAGES, "tests")
    return {name for name in imports(module) if name.split(".")[0] in ours}


def test_the_walk_finds_modules_and_imports() -> None:
    assert {"trm_jax.models.act", "trm_jax.data.hub", "quant.affine"} <= MODULES.keys()
    assert {"trm_jax.models.reasoner", "jax.numpy"} <= imports("trm_jax.models.act")
    assert "torch" in imports("trm_jax.convert.torch_files")  # inside a function
    assert place_of("trm_jax.data.arc.voting") == "trm_jax.data.arc"
    assert place_of("trm_jax.data.hub") == "trm_jax.data"
    assert "trm_jax.types" in places_below("trm_jax.loading")


def test_every_place_exists() -> None:
    covered = {place_of(module) for module in MODULES}
    assert PLACES.keys() - covered == set()


def breaks_place(module: str, name: str) -> bool:
    """Return whether the place of a module, in its own package, forbids an import."""
    place = place_of(module)
    if place is None or name.split(".")[0] != module.split(".")[0]:
        return False
    return place_of(name) not in places_below(place) | ({FACE} if is_face(module) else set())


def test_every_module_has_a_place() -> None:
    without = {module for module in MODULES if not place_of(module)} - set(PACKAGES)
    assert without == set(), "add their folders to PLACES"


def test_modules_import_what_their_place_may() -> None:
    modules = set(MODULES) - set(PACKAGES)
    assert {(m, n) for m in modules for n in our_imports(m) if breaks_place(m, n)} == set()


def test_an_import_upwards_would_be_found() -> None:
    assert breaks_place("quant.integer.kernels.matmul", "quant.affine")
    assert breaks_place("trm_jax.models.act", "trm_jax.data.batches")
    assert breaks_place("experiments.sweep.job", "experiments.ablate.rows")
    assert breaks_place("quant.affine", "quant")
    assert not breaks_place("quant.integer.model", "quant.affine")
    assert not breaks_place("trm_jax.models.act", "trm_jax.types")


def test_packages_import_downwards() -> None:
    edges = {(m, n) for m in MODULES for n in our_imports(m)}
    assert {(m, n) for m, n in edges if n.split(".")[0] not in PACKAGE_ORDER[m.split(".")[0]]} == (
        set()
    )


@pytest.mark.parametrize("reader", READERS)
def test_readers_of_results_run_nothing(reader: str) -> None:
    everything = {n for m in MODULES if is_in(m, reader) for n in our_imports(m)}
    others = {n for n in everything if is_in(n, "experiments") and not is_in(n, reader)}
    results = {n for n in others if place_of(n) not in SHARED}
    assert {n for n in results if n.rsplit(".", 1)[-1] in NO_RESULTS} == set()


def test_no_circle_of_modules() -> None:
    assert find_circles(MODULES) == []


def test_numeric_modules_know_no_files() -> None:
    edges = {(m, n) for m in filter(is_numeric, MODULES) for n in imports(m)}
    assert {(m, n) for m, n in edges if any(is_in(n, place) for place in FILE_PLACES)} == set()


def test_foreign_packages_stay_in_their_place() -> None:
    edges = {(m, n.split(".")[0]) for m in MODULES for n in imports(m)}
    foreign = {(m, package) for m, package in edges if package in ONLY_IN}
    assert {(m, package) for m, package in foreign if not m.startswith(ONLY_IN[package])} == set()


def test_arguments_are_parsed_by_input_and_output() -> None:
    parsing = {module for module in MODULES if "argparse" in imports(module)}
    allowed = (*FILE_PLACES, "export.options", "export.job", "experiments", "benchmarks")
    libraries = {m for m in parsing if MAIN_GUARD not in read_text(MODULES[m])}
    assert {m for m in libraries if not any(is_in(m, place) for place in allowed)} == set()


def test_configurations_need_no_jax() -> None:
    for module in ("trm_jax.config", "trm_jax.names", "trm_jax.typed_json"):
        tops = {name for name in imports(module) if not name.startswith("trm_jax.")}
        assert {name.split(".")[0] for name in tops} <= set(sys.stdlib_module_names)


def test_folders_and_files_are_small() -> None:
    assert {str(f): n for f, n in count_files(MODULES).items() if n > MAX_FILES} == {}
    lines = {module: count_lines(file) for module, file in MODULES.items()}
    assert {module: n for module, n in lines.items() if n > MAX_LINES} == {}


def test_layout_is_the_formatter_s() -> None:
    files = [*MODULES.values(), *TESTS.values()]
    assert sum(map(count_skips, files)) < MAX_SKIPS


def test_a_class_name_occurs_once_in_a_package() -> None:
    assert find_repeated_classes(MODULES) == {}


def test_there_is_one_type_of_task() -> None:
    tasks = [
        place
        for (_, name), places in find_classes(MODULES).items()
        for place in places
        if name == "Task"
    ]
    assert tasks == ["trm_jax.tasks.task"]


def test_general_nouns_never_stand_alone() -> None:
    classes = find_classes(MODULES)
    programs = {key for key in classes if key[0] in ("export", "experiments")}
    assert {key for key in programs if key[1] in GENERAL_NOUNS} == set()


@pytest.mark.parametrize("module", [m for m in MODULES if is_face(m)])
def test_a_folder_says_what_it_is(module: str) -> None:
    docstring = ast.get_docstring(parse_file(MODULES[module])) or ""
    assert re.match(r"\w.*\.", docstring, re.DOTALL), f"{module} has no docstring"


def test_no_test_module_imports_another() -> None:
    places = ("tests.support", "tests.conftest", "tests.fuzz")  # a program of its own
    for module in TESTS:
        names = {name for name in find_imports(module, TESTS) if is_in(name, "tests")}
        assert all(any(is_in(name, place) for place in places) for name in names), module
