"""Compact training states: what is exact, how large they are, what happens to damaged files."""

import hashlib
import json
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.samples import random_batch, random_weights, small
from trm_jax.checkpoints import file_parts
from trm_jax.checkpoints.compact_state import TOTAL_BYTES, load_compact, read_facts, save_compact
from trm_jax.config import SUDOKU_TRM_ATT, SUDOKU_TRM_MLP, Config, TRMConfig
from trm_jax.models.build import build
from trm_jax.training.recipe import Optimizer, Recipe
from trm_jax.training.step import TrainState, init_state

CONFIG = TRMConfig(**small(puzzle_emb_len=1))
RECIPE = Recipe(total_steps=9, batch_size=4)


def make_state(config: Config, seed: int = 0, recipe: Recipe = RECIPE) -> TrainState:
    """A state in the middle of a run, of random numbers."""
    rng = np.random.default_rng(seed)
    weights = random_weights(config, seed)
    fresh = init_state(build(config), recipe, random_batch(config, 2), weights)

    def noise(size: float) -> object:
        return jax.tree.map(
            lambda x: (size * rng.standard_normal(x.shape)).astype(np.float32), weights.params
        )

    m, root = noise(1e-3), noise(1e-2)
    v = jax.tree.map(lambda x: x * x, root)
    ema = jax.tree.map(lambda x, y: np.asarray(x) + y, weights.params, noise(1e-3))
    optimiser = type(fresh.optimiser)(jnp.int32(7), m, v)
    return fresh._replace(step=jnp.int32(7), optimiser=optimiser, ema=ema)


@pytest.fixture(scope="module")
def state() -> TrainState:
    return make_state(CONFIG)


@pytest.fixture(scope="module")
def fresh() -> TrainState:
    return make_state(CONFIG, seed=9)


@pytest.mark.parametrize("optimizer", list(Optimizer))
def test_round_trip(optimizer: Optimizer, tmp_path: Path) -> None:
    recipe = Recipe(total_steps=9, batch_size=4, optimizer=optimizer)
    state = make_state(CONFIG, recipe=recipe)
    save_compact(tmp_path / "c", state, {"preset": "x"}, log="rows\n")
    like = make_state(CONFIG, seed=9, recipe=recipe)
    back, log = load_compact(tmp_path / "c", like)
    assert log == "rows\n"
    assert read_facts(tmp_path / "c") == {"preset": "x"}
    assert jax.tree.structure(back) == jax.tree.structure(state)
    for name in ("step", "weights", "ema"):
        jax.tree.map(np.testing.assert_array_equal, getattr(back, name), getattr(state, name))
    # slots begin anew, those of the state given
    jax.tree.map(np.testing.assert_array_equal, back.carry, like.carry)
    count, m, v = back.optimiser
    assert int(count) == 7
    direction = [
        jax.tree.map(lambda a, b: np.arctan2(a, np.sqrt(b)), *jax.device_get(moments))
        for moments in ((m, v), state.optimiser[1:])
    ]
    scale = max(
        float(np.max(np.abs(a) / np.sqrt(b)))
        for a, b in zip(*map(jax.tree.leaves, state.optimiser[1:]), strict=True)
    )
    # half a code of the greatest ratio; these moments are independent, so it may be large
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=scale / 254 + 1e-6), *direction)


def test_files_are_the_documented_ones(state: TrainState, tmp_path: Path) -> None:
    save_compact(tmp_path / "c", state, {})
    files = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert files == ["manifest.json", "part-000.bin"]
    document = json.loads((tmp_path / "c" / "manifest.json").read_text())
    body = document["body"]
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    assert document["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    stream = (tmp_path / "c" / "part-000.bin").read_bytes()
    assert body["parts"] == [{"bytes": len(stream), "sha256": hashlib.sha256(stream).hexdigest()}]
    assert (body["format"], body["step"]) == (1, 7)
    begin = 0
    for said in body["tensors"]:  # every weight lies where the manifest says, as plain float32
        data = stream[begin : begin + said["bytes"]]
        begin += said["bytes"]
        if said["name"] == "params/lm_head/kernel":
            kernel = state.weights.params["lm_head"]["kernel"]
            assert data == np.asarray(kernel, "<f4").tobytes()
            assert said["shape"] == [8, 5]
    assert begin == len(stream)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "ema"), [(SUDOKU_TRM_MLP, "float32"), (SUDOKU_TRM_ATT, "delta16")], ids=["5M", "7M"]
)
def test_published_sizes_fit_the_limits(config: Config, ema: str, tmp_path: Path) -> None:
    state = make_state(config)
    total = save_compact(tmp_path / "c", state, {}, log="row\n" * 1000)
    sizes = [path.stat().st_size for path in (tmp_path / "c").iterdir()]
    assert sum(sizes) == total <= TOTAL_BYTES == 56 * 2**20
    assert max(sizes) <= 15 * 2**20
    body = file_parts.read_manifest(tmp_path / "c")
    encodings = {t["name"].split("/")[0]: t["encoding"] for t in body["tensors"]}
    assert encodings["ema"] == ema
    back, _ = load_compact(tmp_path / "c", state)
    jax.tree.map(np.testing.assert_array_equal, back.weights, state.weights)
    # the noise around the parameters is below 6e-3: 8 bits of that, and float32 of weights < 1
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=6e-3 * 2**-8 + 2.0**-22),
        back.ema,
        state.ema,
    )


def test_too_large_a_state_is_refused(state: TrainState, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"smallest form, the limit is 0.0 MiB; raise the limit"):
        save_compact(tmp_path / "c", state, {}, limit=100)
    assert not (tmp_path / "c").exists()


def test_a_newer_state_replaces_an_older_one(state: TrainState, tmp_path: Path) -> None:
    save_compact(tmp_path / "c", make_state(CONFIG, seed=5), {"n": 1}, log="x" * 9)
    save_compact(tmp_path / "c", state, {"n": 2})
    assert read_facts(tmp_path / "c") == {"n": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="holds other files"):
        save_compact(tmp_path / "mine", state, {})
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; choose a folder"):
        save_compact(tmp_path / "file", state, {})


def damage(folder: Path, kind: str) -> None:
    part, manifest = folder / "part-000.bin", folder / "manifest.json"
    raw, text = part.read_bytes(), manifest.read_text()
    if kind == "flipped":
        part.write_bytes(raw[:50] + bytes([raw[50] ^ 1]) + raw[51:])
    elif kind == "cut":
        part.write_bytes(raw[:-1])
    elif kind == "gone":
        part.unlink()
    elif kind == "no manifest":
        manifest.unlink()
    elif kind == "torn manifest":
        manifest.write_text(text[: len(text) // 2])
    elif kind == "foreign":
        manifest.write_text('{"weight_map": {}}')
    elif kind == "edited":
        manifest.write_text(text.replace('"step": 7', '"step": 8'))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("flipped", r"part-000\.bin is damaged: its hash"),
        ("cut", r"part-000\.bin is truncated: \d+ of \d+ bytes"),
        ("gone", r"part-000\.bin is missing; there must be 1 parts"),
        ("no manifest", "is no compact state"),
        ("torn manifest", r"manifest\.json is truncated or no manifest"),
        ("foreign", r"manifest\.json is truncated or no manifest"),
        ("edited", "was changed after it was written"),
    ],
)
def test_damaged_files_are_told(
    state: TrainState, fresh: TrainState, tmp_path: Path, kind: str, message: str
) -> None:
    save_compact(tmp_path / "c", state, {})
    damage(tmp_path / "c", kind)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_compact(tmp_path / "c", fresh)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest as somebody would who also writes the right hash."""
    body = file_parts.read_manifest(folder)
    change(body)
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    document = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "body": body}
    (folder / "manifest.json").write_text(json.dumps(document))


def tensor(body: dict[str, Any], prefix: str) -> dict[str, Any]:
    return next(said for said in body["tensors"] if said["name"].startswith(prefix))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.pop("step"), "field step is missing"),
        (lambda b: b.update(step="7"), "field step must be an integer, got '7'"),
        (lambda b: b.update(step=-1), "step must be an int32 of 0 or more"),
        (lambda b: b.update(step=2**31), "step must be an int32 of 0 or more"),
        (lambda b: b.update(parts={}), "parts: the line must be a list"),
        (lambda b: b["parts"][0].update(bytes=True), r"\[0\]\.bytes must be an integer"),
        (lambda b: tensor(b, "v/").update(shape=[10**12]), r"takes \d+ bytes as log8, not"),
        (lambda b: tensor(b, "m/").update(shape=[-1, -8]), "negative size"),
        (lambda b: tensor(b, "m/").update(shape=[1] * 1000), "has 1000 axes; read are up to 8"),
        (lambda b: tensor(b, "m/").update(encoding="gzip"), "unknown encoding 'gzip'"),
        (lambda b: b["tensors"].append(b["tensors"][0]), "two tensors have one name"),
        (lambda b: b["tensors"].insert(0, b["tensors"].pop(-2)), "leans on a tensor of v/ that is"),
        (lambda b: b["tensors"].pop(), r"tensors of \d+ bytes in a stream of"),
    ],
)
def test_a_wrong_manifest_is_told(
    state: TrainState,
    fresh: TrainState,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], object],
    message: str,
) -> None:
    save_compact(tmp_path / "c", state, {})
    rewrite(tmp_path / "c", change)
    with pytest.raises(ValueError, match=message):
        load_compact(tmp_path / "c", fresh)


def test_a_log_inflates_to_its_size_and_no_further(
    state: TrainState, fresh: TrainState, tmp_path: Path
) -> None:
    """261 kB of zeros, deflated, would become 256 MiB."""
    log = zlib.compress(bytes(2**28), 9)
    for shape in ([3], []):
        save_compact(tmp_path / "c", state, {}, log="abc")

        def change(body: dict[str, Any], shape: list[int] = shape) -> None:
            said = tensor(body, "log")
            part = tmp_path / "c" / "part-000.bin"
            stream = part.read_bytes()[: -said["bytes"]] + log
            part.write_bytes(stream)
            said.update(bytes=len(log), shape=shape)
            body["parts"] = [{"bytes": len(stream), "sha256": hashlib.sha256(stream).hexdigest()}]

        rewrite(tmp_path / "c", change)
        tracemalloc.start()
        with pytest.raises(ValueError, match="log is damaged: it does not end after"):
            load_compact(tmp_path / "c", fresh)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 160 * 2**20  # without a limit 512 MiB: the bytes and their text


def test_logs_of_earlier_versions_have_no_size(
    state: TrainState, fresh: TrainState, tmp_path: Path
) -> None:
    save_compact(tmp_path / "c", state, {}, log="rows")
    assert tensor(file_parts.read_manifest(tmp_path / "c"), "log")["shape"] == [4]
    rewrite(tmp_path / "c", lambda body: tensor(body, "log").update(shape=[]))
    assert load_compact(tmp_path / "c", fresh)[1] == "rows"


def test_a_state_of_another_model_or_format_is_refused(state: TrainState, tmp_path: Path) -> None:
    save_compact(tmp_path / "c", state, {})
    other = TRMConfig(**small(puzzle_emb_len=1, vocab_size=6))
    with pytest.raises(ValueError, match=r"lm_head/kernel: found \(8, 5\), expected \(8, 6\)"):
        load_compact(tmp_path / "c", make_state(other))
    file_parts.write(tmp_path / "new", b"", {"format": 2})
    with pytest.raises(ValueError, match="has format 2; this version reads 1"):
        read_facts(tmp_path / "new")


def test_parts_are_cut_at_their_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_parts, "PART_BYTES", 4)
    file_parts.write(tmp_path / "p", b"0123456789", {"note": 1})
    names = [f"part-00{i}.bin" for i in range(3)]
    assert [(tmp_path / "p" / name).read_bytes() for name in names] == [b"0123", b"4567", b"89"]
    body = file_parts.read_manifest(tmp_path / "p")
    assert file_parts.read_stream(tmp_path / "p", body) == b"0123456789"
    size = sum(path.stat().st_size for path in (tmp_path / "p").iterdir())
    assert size == file_parts.total_bytes(b"0123456789", {"note": 1})
