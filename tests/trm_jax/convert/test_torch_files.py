"""PyTorch files: read without running them, written as torch does."""

import io
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.flax import save_file

from tests.support.releases import CONFIGS, FULL, TOLD, assert_same, released_weights
from trm_jax.convert.name_table import from_torch, to_torch
from trm_jax.convert.torch_config import resolve_config
from trm_jax.convert.torch_files import read_tensors, write_torch


def test_prefixed_and_bare_twin_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    save_file({"model.a": jnp.zeros(1), "a": jnp.zeros(1)}, file)
    with pytest.raises(ValueError, match="a occurs twice"):
        read_tensors(file)


@pytest.mark.parametrize("name", ["att", "hrm"])
def test_file_written_by_torch(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the [torch] extra is not installed")
    config = CONFIGS[name]
    weights = released_weights(config)
    state = {
        # torch's own conversion to bfloat16, so that this file owes nothing to write_torch
        k: torch.tensor(v.astype(np.float32), dtype=getattr(torch, v.dtype.name))
        for k, v in to_torch(config, weights).items()
    }
    assert state[FULL + "H_init"].dtype == torch.bfloat16
    torch.save(state, tmp_path / "step_1")
    told = {**dict(TOLD.fields), "expansion": 1.0, "puzzle_emb_len": 2}
    tensors = read_tensors(tmp_path / "step_1")
    loaded = from_torch(tensors, resolve_config(tensors, None, told, {}))
    assert_same(loaded, weights)
    write_torch(tmp_path / "again.pt", to_torch(config, loaded))
    again = torch.load(tmp_path / "again.pt", weights_only=True)
    assert list(again) == list(state)
    for key, value in state.items():
        assert again[key].dtype == value.dtype
        assert torch.equal(again[key], value)


class Evil:
    """Pickles into a call that leaves a trace if it is ever executed."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_pickled_code_is_never_run(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the [torch] extra is not installed")
    trace = tmp_path / "trace"
    torch.save({"weight": Evil(trace)}, tmp_path / "step_1")
    with pytest.raises(ValueError, match="nothing was run"):
        read_tensors(tmp_path / "step_1")
    assert not trace.exists()
    torch.load(tmp_path / "step_1", weights_only=False)
    assert trace.exists()  # the trap itself works


def test_what_is_not_a_state_dict_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the [torch] extra is not installed")
    for stored in ([torch.zeros(1)], {"step": 3}, {"w": torch.zeros(1, dtype=torch.float64)}, {}):
        torch.save(stored, tmp_path / "step_1")
        with pytest.raises(ValueError, match=r"state_dict|must be one of"):
            read_tensors(tmp_path / "step_1")
    memory = io.BytesIO()
    torch.save({"w": torch.zeros(1000)}, memory)
    for cut in (memory.getvalue()[:-100], b"", b"no pickle"):
        (tmp_path / "step_1").write_bytes(cut)
        with pytest.raises(ValueError, match=r"truncated|nothing was run"):
            read_tensors(tmp_path / "step_1")
