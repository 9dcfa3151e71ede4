"""Configurations of names, told without loading weights."""

from pathlib import Path

import pytest

from trm_jax import zoo
from trm_jax.config import preset
from trm_jax.convert.published import PUBLISHED
from trm_jax.loading import known_config, locate


@pytest.mark.parametrize("name", zoo.MODELS)
def test_the_known_configuration_is_the_loaded_one(name: str):
    assert known_config(name) == preset(name)
    assert known_config(str(zoo.MODELS[name].directory)) == locate(name).config


def test_published_checkpoints_have_their_table_and_foreign_ones_nothing():
    assert {name: known_config(name) for name in PUBLISHED} == {
        name: entry.config for name, entry in PUBLISHED.items()
    }
    assert known_config("hf:owner/name/file") is None


def test_a_damaged_folder_is_refused(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="not of format"):
        known_config(str(tmp_path))
