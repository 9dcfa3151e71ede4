"""Imports run one way (DESIGN.md), read off the source without importing it."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("trm_jax", "quant", "export", "experiments")
MAY_IMPORT = {
    "trm_jax": {"trm_jax"},
    "quant": {"trm_jax", "quant"},
    "export": {"trm_jax", "quant", "export"},
    "experiments": {"trm_jax", "quant", "export", "experiments"},
}
ORDER = (  # a module imports from rows above its own only
    {"types", "config"},
    {"layers", "attention"},
    {"mixing", "embedding"},
    {"recursion"},
    {"reasoner"},
    {"trm", "hrm"},
    {"models"},
    {"act"},
    {"evaluate", "train"},
)
ROW = {f"trm_jax.{name}": row for row, names in enumerate(ORDER) for name in names}
RIM = {
    "convert",
    "checkpoint",
    "compact_state",
    "located",
    "part_files",
    "command_line",
    "published",
    "tensor_files",
    "torch_config",
    "torch_files",
    "torch_names",
}
"""Leaves of trm_jax besides data and zoo: numeric modules never import them."""
ONLY_IN = {
    "torch": ("trm_jax.convert.torch_files",),
    "yaml": ("trm_jax.convert.torch_config", "experiments.deploy.aihub.rows"),
    "huggingface_hub": ("trm_jax.data.hub",),
    "orbax": ("trm_jax.checkpoints.model_files",),
    "aqt": ("quant.dot_general",),
    "ai_edge_litert": ("export.",),
    "flatbuffers": ("export.",),
    "litert_converter": ("export.lowering.reference",),
    "tensorflow": ("export.",),
    "tflite_micro": ("export.",),
    "tflite_runtime": ("export.",),
    "qai_hub": ("export.",),
    "requests": ("export.aihub",),  # comes with qai_hub
    "onnx": ("export.",),
    "onnxruntime": ("export.",),
}
"""Foreign packages and the modules (by prefix) that may know them."""


def modules() -> dict[str, Path]:
    """Find every module of the packages by dotted name."""
    found = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = file
    return found


MODULES = modules()


def imports(module: str) -> set[str]:
    """List what a module imports, at any depth, as dotted names; submodules by their own."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import in line {node.lineno}"
            assert node.module
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
    return found


def is_rim(module: str) -> bool:
    parts = module.split(".")
    return parts[0] == "trm_jax" and len(parts) > 1 and parts[1] in RIM | {"data", "zoo"}


def is_program(module: str) -> bool:
    """Say whether `python -m` runs it: export has programs beside its libraries."""
    return 'if __name__ == "__main__":' in MODULES[module].read_text(encoding="utf-8")


def is_numeric(module: str) -> bool:
    return module.startswith(("trm_jax", "quant")) and not is_rim(module)


def test_the_walk_finds_modules_and_imports() -> None:
    assert {"trm_jax.models.act", "trm_jax.data.hub", "quant.affine"} <= MODULES.keys()
    assert {"trm_jax.models.reasoner", "jax.numpy"} <= imports("trm_jax.models.act")
    assert ROW.keys() - MODULES.keys() <= {"trm_jax.evaluate", "trm_jax.training.step"}
    assert "torch" in imports("trm_jax.convert.torch_files")  # lazy imports count too


@pytest.mark.parametrize("module", MODULES)
def test_packages_import_downwards(module: str) -> None:
    allowed = MAY_IMPORT[module.split(".")[0]]
    ours = {
        name for name in imports(module) if name.split(".")[0] in (*PACKAGES, "tests", "benchmarks")
    }
    assert {name for name in ours if name.split(".")[0] not in allowed} == set()


@pytest.mark.parametrize("module", [m for m in MODULES if m in ROW])
def test_trm_jax_imports_upwards_in_its_order(module: str) -> None:
    wrong = {name for name in imports(module) if ROW.get(name, -1) >= ROW[module]}
    assert wrong == set()


@pytest.mark.parametrize("module", [m for m in MODULES if is_numeric(m)])
def test_numeric_modules_know_no_files(module: str) -> None:
    assert {name for name in imports(module) if is_rim(name)} == set()


@pytest.mark.parametrize("module", MODULES)
def test_foreign_packages_stay_in_their_place(module: str) -> None:
    tops = {name.split(".")[0] for name in imports(module)}
    for package in tops & ONLY_IN.keys():
        assert module.startswith(ONLY_IN[package]), f"{package} is for {ONLY_IN[package]} only"


@pytest.mark.parametrize("module", MODULES)
def test_arguments_are_parsed_at_the_rim(module: str) -> None:
    if "argparse" in imports(module):
        shared = ("experiments", "export.options")  # options that programs share
        assert is_rim(module) or module.startswith(shared) or is_program(module)


def test_configurations_need_no_jax() -> None:
    tops = {name.split(".")[0] for name in imports("trm_jax.config")}
    assert tops <= set(sys.stdlib_module_names)
