"""Files of models: model directories, safetensors, released checkpoints, compact states."""

import dataclasses
import functools
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import oracles
from tests.fuzz.contract import InputKind, Unreadable
from tests.fuzz.damage import Draw, damage_bytes
from tests.fuzz.documents import change_document, mutate_folder
from trm_jax.config import HRMConfig

FIELDS = (
    *("H_cycles", "L_cycles", "L_layers", "hidden_size", "num_heads"),
    *("halt_exploration_prob", "halt_max_steps", "puzzle_emb_ndim", "puzzle_emb_len"),
)
"""Fields that a release's YAML and our configuration name alike."""
SHARDS = "model.safetensors.index.json"


def without_torch() -> str:
    """Say why files of PyTorch cannot be read here."""
    return "" if importlib.util.find_spec("torch") else "torch is not installed"


# model directories


def make_model(folder: Path) -> None:
    """Write a model and, beside it, one that fits as well but has other weights."""
    from tests.support.tiny.sweep import write

    write(folder / "both")
    shutil.move(folder / "both" / "model", folder / "model")
    shutil.rmtree(folder / "both")


def mutate_model(folder: Path, rng: Draw) -> str:
    """Mutate a model directory, its header of tensors by content too."""
    if rng.random() < 0.25:
        return change_header(folder / "model" / "model.safetensors", rng)
    return mutate_folder(folder / "model", rng)


def change_header(file: Path, rng: Draw) -> str:
    """Change a place of a safetensors header and write it with its right size."""
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    text, what = change_document(json.loads(data[8 : 8 + size]), rng)
    header = text.encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + size :])
    return f"{file.name}: header: {what}"


def read_model(folder: Path) -> Any:
    """Load a model as programs do."""
    from trm_jax.checkpoints.model_files import flatten
    from trm_jax.config import to_dict
    from trm_jax.loading import load_model

    loaded = load_model(str(folder / "model"))
    task = loaded.task.name if loaded.task else None
    return to_dict(loaded.config), oracles.digests(flatten(loaded.weights)), task


def model_says(folder: Path) -> Any:
    """Read the model by other code."""
    document = oracles.document(folder, "model/config.json")
    tensors = oracles.float_tensors(folder / "model" / "model.safetensors")
    try:
        return document["config"], tensors, document.get("task")
    except (KeyError, TypeError, AttributeError) as error:
        raise Unreadable(str(error)) from error


# tensors alone


def make_tensors(folder: Path) -> None:
    """Write a few tensors."""
    from trm_jax.checkpoints.tensor_files import save_tensors

    rng = np.random.default_rng(0)
    tensors = {"a/kernel": (3, 4), "b": (5,), "scalar": ()}
    save_tensors(
        {name: rng.normal(size=s).astype(np.float32) for name, s in tensors.items()},
        folder / "host.safetensors",
    )


def mutate_tensors(folder: Path, rng: Draw) -> str:
    if rng.random() < 0.5:
        return change_header(folder / "host.safetensors", rng)
    return mutate_folder(folder, rng)


def read_tensors(folder: Path) -> Any:
    from trm_jax.checkpoints.tensor_files import load_tensors, map_tensors

    tensors = load_tensors(folder / "host.safetensors")
    mapped = map_tensors(folder / "host.safetensors")
    assert tensors.keys() == mapped.keys()
    return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in sorted(tensors.items())}


def tensors_say(folder: Path) -> Any:
    from safetensors.numpy import load

    try:
        tensors = load((folder / "host.safetensors").read_bytes())
    except Exception as error:  # whatever a damaged file makes it raise
        raise Unreadable(str(error)) from error
    return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in sorted(tensors.items())}


# released checkpoints


def make_release(folder: Path, name: str = "step_7") -> None:
    """Write a checkpoint of the released code and its YAML."""
    from tests.support.releases import CONFIGS, TRM_NAME, YAML, released_tensors
    from trm_jax.convert.torch_files import write_torch

    tensors = released_tensors(CONFIGS["att"])
    prefix = "_orig_mod.model.inner."
    write_torch(folder / name, {prefix + key: value for key, value in tensors.items()})
    (folder / "all_config.yaml").write_text(YAML.format(name=TRM_NAME))


def make_shards(folder: Path) -> None:
    """Write a checkpoint as two safetensors files with their index."""
    from safetensors.numpy import save_file

    from tests.support.releases import CONFIGS, TRM_NAME, YAML, released_tensors

    tensors = {n: np.asarray(x, np.float32) for n, x in released_tensors(CONFIGS["att"]).items()}
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    parts: list[dict[str, np.ndarray]] = [{}, {}]
    for i, (name, value) in enumerate(sorted(tensors.items())):
        parts[i % 2][name] = value
    for name, part in zip(names, parts, strict=True):
        save_file(part, folder / name)
    index = {n: names[i % 2] for i, n in enumerate(sorted(tensors))}
    size = sum(value.nbytes for value in tensors.values())
    document = {"metadata": {"total_size": size}, "weight_map": index}
    (folder / SHARDS).write_text(json.dumps(document))
    (folder / "all_config.yaml").write_text(YAML.format(name=TRM_NAME))


def read_release(folder: Path, name: str = "step_7") -> Any:
    """Load a checkpoint as programs do."""
    from trm_jax.checkpoints.model_files import flatten
    from trm_jax.config import to_dict
    from trm_jax.convert.hints import Hints
    from trm_jax.loading import load_model

    loaded = load_model(str(folder / name), hints=Hints(fields=(("seq_len", 4),)))
    config = to_dict(loaded.config)
    del config["expansion"]  # from 1 to 4 the same tensors at this size, which hold the layer's
    told = {field: config.pop(field) for field in FIELDS}
    return told, config, oracles.digests(flatten(loaded.weights))


def release_says(folder: Path, name: str = "step_7") -> Any:
    """Take the fields from the YAML, the rest from the valid checkpoint: damage may change none."""
    import yaml

    _, config, tensors = valid_release(folder.parent / "valid", name)
    try:
        text = (folder / "all_config.yaml").read_text()
        if "&" in text or len(text) > 20_000:
            raise Unreadable("a bomb")
        arch = yaml.safe_load(text)["arch"]
        oracles.check_types(
            arch, oracles.valid_yaml(folder.parent / "valid" / "all_config.yaml")["arch"]
        )
        return {field: arch[field] for field in FIELDS}, config, tensors
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError, RecursionError) as error:
        raise Unreadable(str(error)) from error


def shards_say(folder: Path) -> Any:
    """Take the fields from the YAML and every tensor from the file that the index names."""
    from safetensors.numpy import load

    from trm_jax.checkpoints.model_files import flatten
    from trm_jax.config import from_dict
    from trm_jax.convert.name_table import from_torch

    told, config, _ = release_says(folder, SHARDS)
    index = oracles.document(folder, SHARDS)
    try:
        tensors = {
            name: load((folder / file).read_bytes())[name]
            for name, file in index["weight_map"].items()
        }
        weights = from_torch(tensors, from_dict({**config, **told, "expansion": 1.0}))
        return told, config, oracles.digests(flatten(weights))
    except Exception as error:  # whatever a damaged file makes safetensors raise
        raise Unreadable(str(error)) from error


@functools.cache
def valid_release(folder: Path, name: str) -> Any:
    return read_release(folder, name)


# compact states of training


def make_compact(folder: Path) -> None:
    from trm_jax.checkpoints.compact_state import save_compact

    log = json.dumps({"step": 2, "lr": 0.5, "loss": 1.25}) + "\n"
    save_compact(folder / "state", fresh_state(), {"preset": "tiny", "seed": 0}, log=log)


@functools.cache
def fresh_state() -> Any:
    """Make the state before the first step of a tiny model."""
    from tests.support.samples import random_batch, random_weights, small
    from trm_jax.config import TRMConfig
    from trm_jax.models.build import build
    from trm_jax.training.recipe import Recipe
    from trm_jax.training.step import init_state

    config = TRMConfig(**small(L_layers=1))
    batch = random_batch(config, 2)
    recipe = Recipe(total_steps=4, batch_size=2)
    return init_state(build(config), recipe, batch, random_weights(config))


def mutate_compact(folder: Path, rng: Draw) -> str:
    """Damage a state; half of the time the manifest is written anew with a right hash."""
    import hashlib
    import zlib

    if rng.random() < 0.4:
        return mutate_folder(folder, rng)
    file, part = folder / "state" / "manifest.json", folder / "state" / "part-000.bin"
    body = json.loads(file.read_text())["body"]
    if rng.random() < 0.1:
        last, what = body["tensors"][-1], "a log that inflates"
        bomb = zlib.compress(bytes(2**28), 9)
        data = part.read_bytes()[: -last["bytes"]] + bomb
        last["bytes"] = len(bomb)
        part.write_bytes(data)
        body["parts"] = [{"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}]
        text = json.dumps(body)
    else:
        text, what = change_document(body, rng)
    try:
        stated = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        stated = text
    digest = hashlib.sha256(stated.encode()).hexdigest()
    file.write_text(f'{{"sha256": "{digest}", "body": {text}}}')
    return f"manifest with its hash: {what}"


def read_compact(folder: Path) -> Any:
    import jax

    from trm_jax.checkpoints.compact_state import load_compact, read_facts

    facts = read_facts(folder / "state")
    state, log = load_compact(folder / "state", fresh_state())
    leaves = [oracles.digest(x) for x in jax.tree.leaves((state.weights, state.ema))]
    return facts, leaves, log, int(state.step)


def compact_says(folder: Path) -> Any:
    """Facts and step from the manifest; tensors and log must be those of the valid state."""
    _, leaves, log, _ = valid_compact(folder.parent / "valid")
    document = oracles.document(folder, "state/manifest.json", types=False)
    try:
        body = document["body"]
        if type(body["step"]) is not int:
            raise Unreadable("a step that is no integer")
        return body["facts"], leaves, log, body["step"]
    except (KeyError, TypeError) as error:
        raise Unreadable(str(error)) from error


@functools.cache
def valid_compact(folder: Path) -> Any:
    return read_compact(folder)


def damage_release(folder: Path, rng: Draw) -> str:
    """Mutate a checkpoint: half of the time only bytes of its file of tensors."""
    file = next(f for f in sorted(folder.iterdir()) if f.suffix != ".yaml")
    if rng.random() < 0.5:
        data, what = damage_bytes(file.read_bytes(), rng)
        file.write_bytes(data)
        return f"{file.name}: {what}"
    return mutate_folder(folder, rng)


NAMES = (
    *(f.name for f in dataclasses.fields(HRMConfig)),
    "architecture",
    "field",
    "tensors",
    "tensor",
)

MODELS = (
    InputKind(
        name="model",
        right="config.json and the tensors, read by json and safetensors, say the same",
        make=make_model,
        mutate=mutate_model,
        read=read_model,
        says=model_says,
        names=NAMES,
    ),
    InputKind(
        name="tensors",
        right="the safetensors package reads the same bytes",
        make=make_tensors,
        mutate=mutate_tensors,
        read=read_tensors,
        says=tensors_say,
    ),
    InputKind(
        name="release",
        right="tensors are those of the undamaged file; fields are what the YAML says",
        make=make_release,
        mutate=damage_release,
        read=read_release,
        says=release_says,
        bad_input=(OSError, ValueError, ModuleNotFoundError),
        missing=without_torch,
        names=NAMES,
        mebibytes=1024,
    ),
    InputKind(
        name="shards",
        right="tensors are those of the undamaged files, or what safetensors reads from them",
        make=make_shards,
        mutate=mutate_folder,
        read=functools.partial(read_release, name=SHARDS),
        says=shards_say,
        names=NAMES,
        share=0.3,
    ),
    InputKind(
        name="compact",
        right="tensors and log are those of the valid state; facts are what the manifest says",
        make=make_compact,
        mutate=mutate_compact,
        read=read_compact,
        says=compact_says,
        names=NAMES,
    ),
)
