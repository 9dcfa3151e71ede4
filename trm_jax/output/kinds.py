"""The folders that the programs of trm_jax write, and what each is known by."""

from trm_jax.output.ownership import OutputKind

MODEL = OutputKind(
    "trm_jax.convert", "a model", ("config.json",), frozenset({"format", "config", "metadata"})
)
DATASET = OutputKind(
    "trm_jax.data",
    "a data set",
    (
        "identifiers.json",
        "generator.json",
        "train/dataset.json",
        "test/dataset.json",
        "train/all__inputs.npy",
        "test/all__inputs.npy",
    ),
)
"""The arrays of a split come first, its dataset.json last: a kill may leave the arrays alone."""
COMPACT_STATE = OutputKind(
    "experiments.train", "a compact state", ("manifest.json",), frozenset({"sha256", "body"})
)
