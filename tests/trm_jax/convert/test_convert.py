"""The converter as a program: sources, hints, and refusals that leave nothing behind."""

import dataclasses
import sys
from pathlib import Path

import pytest

from tests.support.programs import end_of
from tests.support.releases import CONFIGS, FULL, TOLD, TRM_NAME, YAML, assert_same, write_release
from tests.support.samples import random_weights
from trm_jax.checkpoints.model_files import load_metadata, load_model, save_model
from trm_jax.config import PRESETS, Mixer, to_dict
from trm_jax.convert import __main__ as program
from trm_jax.convert import load
from trm_jax.convert.hints import Hints
from trm_jax.convert.load import convert, load_torch
from trm_jax.convert.published import PUBLISHED
from trm_jax.data.hub import DownloadError


@pytest.mark.parametrize("prefix", [FULL, "model.inner.", "inner.", "_orig_mod.", ""])
def test_every_prefix_is_optional(prefix: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    weights = write_release(file, CONFIGS["mlp"], prefix)
    config, loaded, _ = load_torch(str(file), TOLD)
    assert (config.mixer, config.prefix_len) == (Mixer.MLP, 2)  # 6 positions, 4 of them cells
    assert_same(loaded, weights)


def test_all_config_yaml_beside_the_file_is_used(tmp_path: Path) -> None:
    weights = write_release(tmp_path / "model.safetensors", CONFIGS["att"])
    (tmp_path / "all_config.yaml").write_text(YAML.format(name=TRM_NAME))
    config, loaded, notes = load_torch(str(tmp_path), Hints(fields=(("seq_len", 4),)))
    assert config == CONFIGS["att"]
    assert_same(loaded, weights)
    assert notes["file"] == "model.safetensors"
    flags = (("seq_len", 4), ("H_cycles", 3))
    assert load_torch(str(tmp_path), Hints(fields=flags))[0].H_cycles == 3


def run(*argv: str) -> int:
    """Call the command line in this process."""
    return program.main(argv)


def test_command_converts_and_converts_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out, back = tmp_path / "in.safetensors", tmp_path / "out", tmp_path / "b.safetensors"
    weights = write_release(source, CONFIGS["hrm"])
    flags = ["--h-cycles", "2", "--l-cycles", "3", "--num-heads", "2", "--seq-len", "4"]
    flags += ["--positions", "rope", "--forward-dtype", "float32", "--halt-max-steps", "4"]
    flags += ["--rms-norm-eps", "1e-5", "--rope-theta", "10000", "--no-act-continue", "false"]
    flags += ["--halt-exploration-prob", "0"]
    assert run(str(source), str(out), *flags) == 0
    config, loaded = load_model(out)
    assert (config.L_cycles, config.num_heads, config.seq_len) == (3, 2, 4)
    assert_same(loaded, weights)
    assert load_metadata(out)["source"] == str(source)
    assert "HRM" in capsys.readouterr().out
    assert run(str(out), str(back), "--to-torch") == 0
    assert back.read_bytes() == source.read_bytes()


def test_writing_back_takes_nothing_that_says_how_to_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model", "--out", str(tmp_path / "step_1"), "--to-torch"]
    assert end_of(program.main, [*words, "--storage", "bfloat16", "--preset", "sudoku-hrm"]) == 2
    assert "leave --preset, --storage out" in capsys.readouterr().err


def test_command_refuses_in_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in.safetensors", tmp_path / "out"
    write_release(source, CONFIGS["att"])
    whole = source.read_bytes()
    for argv, told in (
        ([str(tmp_path / "absent")], "does not exist"),
        ([str(source)], "--h-cycles"),
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
    assert "SOURCE and --out" in capsys.readouterr().err


def test_short_name_resolves_to_its_file_and_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = PUBLISHED["trm-mlp-sudoku-sanjin2024"]
    assert entry.source == "hf:Sanjin2024/TinyRecursiveModels-Sudoku-Extreme-mlp/step_16275"
    assert all(e.file is None or e.source.startswith("hf:") for e in PUBLISHED.values())
    file = tmp_path / "step.safetensors"
    weights = write_release(file, dataclasses.replace(PRESETS["sudoku-trm-mlp"]))
    asked = []
    monkeypatch.setattr(load, "resolve", lambda source: asked.append(source) or file)
    config, loaded, _ = load_torch("trm-mlp-sudoku-sanjin2024")
    assert asked == [entry.source]
    assert config == PRESETS["sudoku-trm-mlp"]
    assert_same(loaded, weights)


def test_hub_file_without_preset_brings_its_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = write_release(tmp_path / "m.safetensors", CONFIGS["att"])
    (tmp_path / "all_config.yaml").write_text(YAML.format(name=TRM_NAME))
    home = "hf:owner/name/folder/"
    monkeypatch.setattr(
        load, "resolve", lambda source: tmp_path / source.removeprefix(home).split("@")[0]
    )
    told = Hints(fields=(("seq_len", 4),))
    config, loaded, _ = load_torch(home + "m.safetensors@abc", told)
    assert config == CONFIGS["att"]
    assert_same(loaded, weights)
    asked = []

    def without_yaml(source: str) -> Path:
        asked.append(source)
        if source.startswith(home + "all_config.yaml"):
            raise DownloadError("no such file")
        return tmp_path / "m.safetensors"

    monkeypatch.setattr(load, "resolve", without_yaml)
    with pytest.raises(ValueError, match="give a --preset: none is known, and no such file"):
        load_torch(home + "m.safetensors@abc", told)
    assert asked[-1] == home + "all_config.yaml@abc"


def test_only_writing_needs_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_release(tmp_path / "in.safetensors", CONFIGS["mlp"])
    convert(str(tmp_path / "in.safetensors"), tmp_path / "model", TOLD, "float32")
    monkeypatch.setitem(sys.modules, "torch", None)  # what an absent package looks like
    back = ["--out", str(tmp_path / "out.pt"), "--to-torch"]
    assert run(str(tmp_path / "model"), *back) == 2
    assert "pip install -e '.[torch]'" in capsys.readouterr().err
    assert not (tmp_path / "out.pt").exists()
    (tmp_path / "step_1").write_bytes(b"x")
    assert run(str(tmp_path / "step_1"), "--out", str(tmp_path / "out")) == 2
    assert "step_1: it is truncated or not a PyTorch file" in capsys.readouterr().err


def test_every_field_of_a_conversion_is_printed_with_who_told_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_release(tmp_path / "model.safetensors", CONFIGS["att"])
    (tmp_path / "all_config.yaml").write_text(YAML.format(name=TRM_NAME))
    assert run(str(tmp_path), "--out", str(tmp_path / "out"), "--seq-len", "4") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  from the released code of trm (all_config.yaml has none): " in "\n".join(lines)
    shown = " ".join(lines)
    for name, value in to_dict(CONFIGS["att"]).items():
        assert f"{name} {value}" in shown
    assert "  from flags: seq_len 4" in lines


@pytest.mark.parametrize(
    "field",
    [
        *("H_cycles", "L_cycles", "num_heads", "pos_encodings", "puzzle_emb_len"),
        *("halt_max_steps", "halt_exploration_prob", "forward_dtype", "no_ACT_continue", "name"),
    ],
)
def test_what_a_yaml_leaves_out_is_asked_for(
    field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_release(tmp_path / "model.safetensors", CONFIGS["att"])
    lines = YAML.format(name=TRM_NAME).splitlines()
    less = [line for line in lines if not line.startswith(f"  {field}:")]
    assert len(less) == len(lines) - 1
    (tmp_path / "all_config.yaml").write_text("\n".join(less))
    assert run(str(tmp_path), "--out", str(tmp_path / "out"), "--seq-len", "4") == 2
    asked = {"pos_encodings": "positions", "name": "rms_norm_eps"}.get(field, field)
    assert f"error: tensors do not show {asked} (--" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_preset_overruled_by_yaml_is_told(tmp_path: Path) -> None:
    write_release(tmp_path / "m.safetensors", PRESETS["sudoku-trm-mlp-mini"])
    (tmp_path / "all_config.yaml").write_text("arch: {H_cycles: 5}")
    said = convert(str(tmp_path), tmp_path / "out", Hints(preset="sudoku-trm-mlp-mini"), "float32")
    assert "from all_config.yaml (over 2 of the preset): H_cycles 5" in said
