"""What to install for a package that is missing: the extra of this project that brings it.

A module of ours that cannot be found is an error of ours and is not explained. The table is held
against pyproject.toml by tests/trm_jax/command_line/test_extras.py.
"""

PROJECT = "trm-jax-edge"

EXTRA_OF = {
    "torch": "torch",
    "ai_edge_litert": "export",
    "litert_converter": "export",
    "flatbuffers": "export",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "qai_hub": "aihub",
    "requests": "aihub",  # comes with qai_hub
    "tensorflow": "tf",
    "tflite_micro": "tflm",
    "ethosu": "ethos-u",
    "gguf": "smollm2",
    "tokenizers": "smollm2",
    "reasoning_gym": "reasoning",
    "qwix": "toolkits",
    "ai_edge_quantizer": "toolkits",
    "ray": "ray",
    "pyarrow": "parquet",
}
"""Importable package -> extra."""

CORE = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax",
    "numpy",
    "ml_dtypes",
    "jaxtyping",
    "aqt",
    "safetensors",
    "huggingface_hub",
    "yaml",
    "rich",
    "matplotlib",
    "scipy",
)
"""Packages that every installation brings, extra or not."""


def install_text(package: str) -> str:
    """Write the command that installs what has a package; of a wheel and of a checkout.

    Args:
      package: importable name, one of `EXTRA_OF` or `CORE`.
    """
    extra = f"[{EXTRA_OF[package]}]" if package in EXTRA_OF else ""
    return f"pip install '{PROJECT}{extra}' (in a checkout: pip install -e '.{extra}')"


def explain_import(error: ImportError) -> str | None:
    """Say which package is missing or broken and how to install it.

    Returns:
      None where the module is none of the packages that this project asks for.
    """
    package = (error.name or "").split(".")[0]
    if package not in EXTRA_OF and package not in CORE:
        return None
    if isinstance(error, ModuleNotFoundError) and error.name == package:
        return f"this needs the package {package}, which is not installed: {install_text(package)}"
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"the package {package} cannot be loaded ({reason}); again: {install_text(package)}"
