"""Conversion from and to the released format: total, exact, and refusing what does not fit.

Oracles: the names, shapes, dtypes and byte counts of the released state_dicts
(`state_dict_keys.json`), and transposes written out by hand.
"""

import dataclasses
import io
import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.flax import save_file

from tests.samples import random_weights, small
from trm_jax import convert as program
from trm_jax.checkpoint import load_metadata, load_model, save_model, weight_shapes
from trm_jax.config import PRESETS, Config, HRMConfig, Mixer, Positions, TRMConfig
from trm_jax.convert import Hints, load_torch
from trm_jax.published import PUBLISHED
from trm_jax.torch_config import read_yaml, resolve_config, seen_fields
from trm_jax.torch_files import read_tensors, write_torch
from trm_jax.torch_names import from_torch, strip_prefixes, table, to_torch
from trm_jax.types import Buffers, Weights

CONFIGS: dict[str, Config] = {
    "att": TRMConfig(**small(puzzle_emb_len=2)),
    "learned": TRMConfig(**small(puzzle_emb_len=2, positions=Positions.LEARNED)),
    "mlp": TRMConfig(**small(puzzle_emb_len=2, mixer=Mixer.MLP, positions=Positions.NONE)),
    "hrm": HRMConfig(**small(H_layers=1, L_layers=3)),
}
RELEASED = {
    "sudoku-trm-mlp": "trm_mlp_sudoku",
    "sudoku-trm-att": "trm_att_sudoku",
    "maze-trm-att": "trm_att_maze",
    "arc-trm-att": "trm_att_arc2024",
    "sudoku-hrm": "hrm_sudoku",
    "maze-hrm": "hrm_maze",
}
FULL = "_orig_mod.model.inner."
TOLD = Hints(fields=(("H_cycles", 2), ("L_cycles", 2), ("num_heads", 2), ("seq_len", 4)))


def released_weights(config: Config) -> Weights:
    """Random weights whose initial states are bfloat16 numbers, as in the releases."""
    weights = random_weights(config)
    round_trip = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), weights.buffers)
    return weights._replace(buffers=round_trip)


def write_release(file: Path, config: Config, prefix: str = FULL) -> Weights:
    """Write random weights as a safetensors file with PyTorch's names."""
    weights = released_weights(config)
    tensors = {prefix + strip_prefixes(k): v for k, v in to_torch(config, weights).items()}
    file.parent.mkdir(exist_ok=True)
    save_file({k: jnp.asarray(v) for k, v in tensors.items()}, file)
    return weights


def assert_same(a: Weights, b: Weights) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", RELEASED)
def test_table_is_the_released_state_dict(name: str, golden: Path) -> None:
    released = json.loads((golden / "state_dict_keys.json").read_text())[RELEASED[name]]
    config = PRESETS[name]
    shapes = weight_shapes(config)
    ours = {
        FULL + row.torch: list(shapes[row.leaf][::-1] if row.transposed else shapes[row.leaf])
        for row in table(config)
    }
    assert ours == {k: shape for k, (shape, _) in released["keys"].items()}
    narrow = {k for k, (_, dtype) in released["keys"].items() if dtype == "torch.bfloat16"}
    assert narrow == {FULL + "H_init", FULL + "L_init"}
    size = sum((2 if k in narrow else 4) * int(np.prod(s)) for k, s in ours.items())
    assert size == released["state_dict_bytes"]
    trainable = {k: s for k, s in ours.items() if k not in narrow and "puzzle_emb" not in k}
    assert sum(int(np.prod(s)) for s in trainable.values()) == released["parameters"]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_table_fills_every_leaf_once(config: Config) -> None:
    rows = table(config)
    assert sorted(row.leaf for row in rows) == sorted(weight_shapes(config))
    assert len({row.torch for row in rows}) == len(rows)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_round_trip_is_bit_exact_both_ways(config: Config) -> None:
    weights = released_weights(config)
    released = to_torch(config, weights)
    stripped = {strip_prefixes(k): v for k, v in released.items()}
    assert_same(from_torch(stripped, config), weights)
    again = to_torch(config, from_torch(stripped, config))
    assert list(again) == list(released)
    for name, value in released.items():
        assert value.dtype == again[name].dtype
        assert value.tobytes() == again[name].tobytes()


def test_layout_of_a_linear_layer_by_hand() -> None:
    config = CONFIGS["hrm"]
    weights = released_weights(config)
    released = to_torch(config, weights)
    gate_up = weights.params["H_level"]["layers_0"]["mlp"]["gate_up_proj"]["kernel"]
    theirs = released[FULL + "H_level.layers.0.mlp.gate_up_proj.weight"]
    assert theirs.shape == (2 * 256, 8)  # (out, in); SwiGLU rounds 5 up to 256
    assert theirs[300, 5] == gate_up[5, 300]


def test_initial_states_are_bfloat16_only_where_exact() -> None:
    config = CONFIGS["att"]
    weights = released_weights(config)
    third = jnp.full_like(weights.buffers.L_init, 1 / 3)
    mixed = weights._replace(buffers=Buffers(weights.buffers.H_init, third))
    released = to_torch(config, mixed)
    assert released[FULL + "H_init"].dtype == jnp.bfloat16
    assert released[FULL + "L_init"].dtype == np.float32
    stripped = {strip_prefixes(k): v for k, v in released.items()}
    assert_same(from_torch(stripped, config), mixed)


@pytest.mark.parametrize("prefix", [FULL, "model.inner.", "inner.", "_orig_mod.", ""])
def test_every_prefix_is_optional(prefix: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    weights = write_release(file, CONFIGS["mlp"], prefix)
    config, loaded, _ = load_torch(str(file), TOLD)
    assert (config.mixer, config.prefix_len) == (Mixer.MLP, 2)  # 6 positions, 4 of them cells
    assert_same(loaded, weights)


def test_prefixed_and_bare_twin_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    save_file({"model.a": jnp.zeros(1), "a": jnp.zeros(1)}, file)
    with pytest.raises(ValueError, match="a occurs twice"):
        read_tensors(file)


def test_mismatches_list_all_names_and_both_shapes() -> None:
    config = CONFIGS["att"]
    tensors = {strip_prefixes(k): v for k, v in to_torch(config, released_weights(config)).items()}
    del tensors["q_head.bias"]
    tensors["extra.weight"] = np.zeros((2, 3), np.float32)
    tensors["lm_head.weight"] = np.zeros((9, 8), np.float32)
    with pytest.raises(ValueError, match="does not fit") as caught:
        from_torch(tensors, config)
    message = str(caught.value)
    assert "q_head.bias: missing, expected (2,)" in message
    assert "extra.weight: unknown, shape (2, 3)" in message
    assert "lm_head.weight: found (9, 8), expected (5, 8)" in message


def test_number_of_puzzle_identifiers_is_the_files(tmp_path: Path) -> None:
    write_release(tmp_path / "m.safetensors", CONFIGS["att"])
    told = {"puzzle_emb_len": 2, "expansion": 1.0}
    tensors = read_tensors(tmp_path / "m.safetensors")
    other = dataclasses.replace(CONFIGS["att"], num_puzzle_identifiers=77)
    assert resolve_config(tensors, other, told, {}) == CONFIGS["att"]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_configuration_is_inferred_from_the_tensors(config: Config) -> None:
    tensors = {strip_prefixes(k): v for k, v in to_torch(config, released_weights(config)).items()}
    told: dict[str, Any] = {
        "H_cycles": 2, "L_cycles": 2, "num_heads": 2, "halt_max_steps": 4, "expansion": 1.0,
        "halt_exploration_prob": 0.0, "puzzle_emb_len": 2, "forward_dtype": "float32",
    }  # fmt: skip
    if config.positions is Positions.ROPE:
        told["seq_len"] = 4  # nothing shows it
    assert resolve_config(tensors, None, told, {}) == config


def test_missing_cycles_name_the_flag_and_the_presets_that_fit() -> None:
    shapes = weight_shapes(PRESETS["sudoku-trm-mlp"])
    tensors = {
        row.torch: np.zeros(shapes[row.leaf][::-1] if row.transposed else shapes[row.leaf])
        for row in table(PRESETS["sudoku-trm-mlp"])
    }
    assert seen_fields(tensors)["mixer"] == "mlp"
    with pytest.raises(ValueError, match=r"H_cycles \(--H-cycles\).* fit: sudoku-trm-mlp\)"):
        resolve_config(tensors, None, {}, {})
    with pytest.raises(ValueError, match="mixer: the tensors say mlp") as caught:
        resolve_config(tensors, PRESETS["maze-trm-att"], {}, {})
    assert "vocab_size: the tensors say 11, the preset" in str(caught.value)


def test_seq_len_of_another_preset_is_refused() -> None:
    config = CONFIGS["mlp"]
    tensors = {strip_prefixes(k): v for k, v in to_torch(config, released_weights(config)).items()}
    longer = dataclasses.replace(config, seq_len=9)
    with pytest.raises(ValueError, match=r"mlp_t\.gate_up_proj\.weight: found .* expected"):
        from_torch(tensors, resolve_config(tensors, longer, {}, {}))


YAML = """
arch:
  name: {name}
  loss: {{name: losses@ACTLossHead, loss_type: stablemax_cross_entropy}}
  H_cycles: 2
  L_cycles: 2
  H_layers: 0
  L_layers: 2
  hidden_size: 8
  num_heads: 2
  expansion: 1
  pos_encodings: rope
  mlp_t: false
  puzzle_emb_ndim: 8
  puzzle_emb_len: 2
  halt_max_steps: 4
  halt_exploration_prob: 0.0
  forward_dtype: float32
lr: 0.0001
"""
TRM_NAME = "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1"


def test_all_config_yaml_beside_the_file_is_used(tmp_path: Path) -> None:
    weights = write_release(tmp_path / "model.safetensors", CONFIGS["att"])
    (tmp_path / "all_config.yaml").write_text(YAML.format(name=TRM_NAME))
    config, loaded, notes = load_torch(str(tmp_path), Hints(fields=(("seq_len", 4),)))
    assert config == CONFIGS["att"]
    assert_same(loaded, weights)
    assert notes["file"] == "model.safetensors"
    flags = (("seq_len", 4), ("H_cycles", 3))
    assert load_torch(str(tmp_path), Hints(fields=flags))[0].H_cycles == 3


def test_yaml_of_another_architecture_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "all_config.yaml"
    file.write_text(YAML.format(name="recursive_reasoning.trm_singlez@X"))
    with pytest.raises(ValueError, match="trm_singlez"):
        read_yaml(file)
    for text in ("arch: [", "lr: 1", "arch: {H_cycles: many}", "- 1"):
        file.write_text(text)
        with pytest.raises(ValueError, match="no readable `arch:` table"):
            read_yaml(file)


def run(*argv: str) -> int:
    """Call the command line in this process."""
    return program.main(argv)


def test_command_converts_and_converts_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out, back = tmp_path / "in.safetensors", tmp_path / "out", tmp_path / "b.safetensors"
    weights = write_release(source, CONFIGS["hrm"])
    flags = ["--H-cycles", "2", "--L-cycles", "3", "--heads", "2", "--seq-len", "4"]
    assert run(str(source), str(out), *flags) == 0
    config, loaded = load_model(out)
    assert (config.L_cycles, config.num_heads, config.seq_len) == (3, 2, 4)
    assert_same(loaded, weights)
    assert load_metadata(out)["source"] == str(source)
    assert "HRM" in capsys.readouterr().out
    assert run(str(out), str(back), "--to-torch") == 0
    assert back.read_bytes() == source.read_bytes()


def test_command_refuses_in_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in.safetensors", tmp_path / "out"
    write_release(source, CONFIGS["att"])
    whole = source.read_bytes()
    for argv, told in (
        ([str(tmp_path / "absent")], "does not exist"),
        ([str(source)], "--H-cycles"),
        ([str(source), "--preset", "maze-hrm"], "architecture: the tensors say trm"),
        (["hrm-sudoku-zbloss"], "file name in zbloss/HRM-sudoku-extreme is not known"),
    ):
        assert run(argv[0], str(out), *argv[1:]) == 2
        assert told in capsys.readouterr().err
    source.write_bytes(whole[:-10])
    assert run(str(source), str(out), "--preset", "maze-trm-att") == 2
    assert "truncated" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["in.safetensors"]


def test_directory_must_hold_one_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load_torch(str(tmp_path))
    for step in (1, 2):
        (tmp_path / f"step_{step}").write_bytes(b"")
    with pytest.raises(ValueError, match=r"name one: \['step_1', 'step_2'\]"):
        load_torch(str(tmp_path))


def test_converted_directory_is_not_taken_for_a_release(tmp_path: Path) -> None:
    save_model(tmp_path, CONFIGS["att"], random_weights(CONFIGS["att"]))
    with pytest.raises(ValueError, match="own, converted format"):
        load_torch(str(tmp_path))


def test_list_names_every_published_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    shown = capsys.readouterr().out.replace("\n", "")
    assert all(name in shown for name in PUBLISHED)


def test_command_without_arguments_explains(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run()
    assert "SOURCE and OUT" in capsys.readouterr().err


def test_short_name_resolves_to_its_file_and_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = PUBLISHED["trm-mlp-sudoku-sanjin2024"]
    assert entry.source == "hf:Sanjin2024/TinyRecursiveModels-Sudoku-Extreme-mlp/step_16275"
    assert all(e.file is None or e.source.startswith("hf:") for e in PUBLISHED.values())
    file = tmp_path / "step.safetensors"
    weights = write_release(file, dataclasses.replace(PRESETS["sudoku-trm-mlp"]))
    asked = []
    monkeypatch.setattr(program, "resolve", lambda source: asked.append(source) or file)
    config, loaded, _ = load_torch("trm-mlp-sudoku-sanjin2024")
    assert asked == [entry.source]
    assert config == PRESETS["sudoku-trm-mlp"]
    assert_same(loaded, weights)


def test_without_torch_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # what an absent package looks like
    (tmp_path / "step_1").write_bytes(b"x")
    assert run(str(tmp_path / "step_1"), str(tmp_path / "out")) == 2
    assert "pip install '.[torch]'" in capsys.readouterr().err


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
