"""Answer items under one scheme after the other, and with adapters: scores, nats, tokens.

Policies are compared on the same items in pairs; the first is full precision. What the right answer
costs is read without a cache, as adapters are trained (trm_jax/decoder/tuning.py).
"""

import argparse
import csv
import hashlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.decode.reasoning.items import GymItem, GymTask, gym_version, make_task
from experiments.decode.reasoning.prompts import TextForm, TokenBatch
from experiments.decode.reasoning.tuning import training_tasks, tuned_adapters
from experiments.decode.studies.folder import AnswerRow, StudyFolder
from experiments.decode.studies.outcomes import difference, exact, mean_of, write_tables
from experiments.decode.text.passages import CALIBRATION
from experiments.measurement.choices import parse_names
from experiments.measurement.folders import STUDY, file_stem
from experiments.measurement.shards import matmul_precision
from experiments.render.console import make_console
from experiments.render.tables import Record, Table, number_text, with_error, with_interval
from quant.decoder.simulation import DecoderSimulation, check_decoder_scheme, simulate_decoder
from quant.decoder.texts import CalibrationTexts
from quant.scheme import parse
from trm_jax.command_line import split_names
from trm_jax.decoder.files.adapter_files import load_adapters
from trm_jax.decoder.files.loading import LoadedDecoder, load_decoder
from trm_jax.decoder.generate import generate
from trm_jax.decoder.lora import AdaptedRows
from trm_jax.decoder.tuning import written_log_probs
from trm_jax.intervals import interval_fields, interval_of, mean
from trm_jax.output.folder import writing
from trm_jax.output.staging import replace_text

SETTINGS = ("limit", "seed", "max_new_tokens", "instruction", "lora_steps", "rank", "adapter_lr")
"""Options that decide the numbers of a study; `batch_size` too where adapters are trained."""
_log_probs = jax.jit(written_log_probs, static_argnames="decoder")


class WrittenItem(NamedTuple):
    """What a policy made of an item.

    Attributes:
      score: of the package; nats: a token of the right answer.
    """

    text: str
    score: float
    tokens: int
    nats: float


def answer_items(
    form: TextForm,
    policy: DecoderSimulation,
    items: Sequence[GymItem],
    *,
    new: int,
    batch_size: int,
    adapted: AdaptedRows | None = None,
) -> Iterator[WrittenItem]:
    """Answer items greedily.

    Args:
      new: tokens of an answer at most.
    """
    loaded, widths = form.loaded, form.widths(items)
    for begin in range(0, len(items), batch_size):
        some = items[begin : begin + batch_size]
        batch = form.batch(some, min(batch_size, len(items)), widths)
        written = generate(
            policy.decoder,
            policy.params,
            *batch[:2],
            stop=loaded.stops,
            max_new_tokens=new,
            adapted=adapted,
        )
        nats = right_nats(policy, batch, adapted)
        for i, item in enumerate(some):
            count = int(written.lengths[i])
            text = loaded.tokenizer.decode(np.asarray(written.tokens[i, :count]).tolist()).strip()
            yield WrittenItem(text, item.score(text), count, float(nats[i]))


def right_nats(
    policy: DecoderSimulation, batch: TokenBatch, adapted: AdaptedRows | None
) -> np.ndarray:
    """Compute nats a token of right answers."""
    each = _log_probs(policy.decoder, policy.params, *batch[:3], adapted=adapted)
    counts = np.asarray(batch.counts)
    inside = np.arange(each.shape[1])[None] < counts[:, None]
    return -np.where(inside, each, 0).sum(axis=1) / counts


def measure_reasoning(args: argparse.Namespace) -> None:
    """Draw items, train adapters where asked for, answer what is missing, and report.

    Raises:
      ValueError, OSError, ModuleNotFoundError: bad input; nothing was lost.
    """
    schemes = _checked_schemes(args)
    tasks = [make_task(name, args.limit, args.seed) for name in split_names(args.reasoning_gym)]
    loaded = load_decoder(args.model)
    form = TextForm(loaded=loaded, instruction=args.instruction)
    taught = training_tasks(args, tasks) if args.lora_steps else ()
    form.check([*tasks, *taught], args.max_new_tokens)
    adapted = None if args.adapter is None else _read_adapters(args, loaded)
    console = make_console()
    with writing(args.out, STUDY, resume=args.resume), matmul_precision("float32"):
        tell = partial(console.print, soft_wrap=True)
        folder = StudyFolder(args.out, _settings(args, loaded, tasks, schemes, adapted), tell)
        tell(f"{loaded.name} ({loaded.num_parameters:,} weights), {args.limit} items a task")
        rows: dict[str, list[AnswerRow]] = {task.name: [] for task in tasks}
        for scheme in schemes:
            policy = _simulated(loaded, scheme)
            if args.lora_steps:
                adapted = tuned_adapters(args, form, policy, scheme, taught, folder)
            for note, adapters in _adapters(adapted):
                answer = partial(_answered, args, form, policy, adapters)
                for task in tasks:
                    stage = f"{task.name}, {scheme}{note}"
                    row = folder.answers(stage, partial(answer, task, stage))
                    rows[task.name].append(row)
        table, records = reasoning_table(loaded.name, rows)
        write_tables(args.out, "reasoning", [table], records, console)


def _checked_schemes(args: argparse.Namespace) -> tuple[str, ...]:
    """Read the schemes, in the order in which they are named.

    Raises:
      ValueError: one that decoders do not have, or several to train adapters on.
    """
    schemes = parse_names(args.schemes)
    for name in schemes:
        check_decoder_scheme(parse(name))
    if args.lora_steps and len(schemes) > 1:
        raise ValueError(
            "--lora-steps trains adapters on the weights of one scheme; name one with --schemes,"
            f" got {args.schemes}"
        )
    return schemes


def _adapters(adapted: AdaptedRows | None) -> list[tuple[str, AdaptedRows | None]]:
    """List what each scheme is answered with."""
    return [("", None)] if adapted is None else [("", None), (" with adapter", adapted)]


def _read_adapters(args: argparse.Namespace, loaded: LoadedDecoder) -> AdaptedRows:
    content = load_adapters(args.adapter, loaded.config)
    return AdaptedRows(content.adapters, jnp.float32(content.config.scale))


def _settings(
    args: argparse.Namespace,
    loaded: LoadedDecoder,
    tasks: Sequence[GymTask],
    schemes: Sequence[str],
    adapted: AdaptedRows | None,
) -> dict[str, Any]:
    """Say what decides the rows of a study; more schemes may come, where none is trained on."""
    trained = {"batch_size": args.batch_size, "scheme": schemes[0]} if args.lora_steps else {}
    return {
        "study": "reasoning",
        "model_sha256": loaded.sha256,
        "tasks": [task.name for task in tasks],
        "items_sha256": _hash([text for t in tasks for i in t.items for text in i[:2]]),
        "reasoning_gym": gym_version(),
        "adapter_sha256": "" if adapted is None else _hash(jax.tree.leaves(adapted)),
        **{name: getattr(args, name) for name in SETTINGS},
        **trained,
    }


def _hash(parts: Sequence[Any]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\0".encode() if isinstance(part, str) else np.asarray(part).tobytes())
    return digest.hexdigest()


def _simulated(loaded: LoadedDecoder, scheme: str) -> DecoderSimulation:
    tokens = loaded.tokenizer.encode(CALIBRATION)
    texts = CalibrationTexts(
        tokens=np.asarray([tokens], np.int32), lengths=np.asarray([len(tokens)], np.int32)
    )
    return simulate_decoder(loaded.config, loaded.params, parse(scheme), texts)


def _answered(
    args: argparse.Namespace,
    form: TextForm,
    policy: DecoderSimulation,
    adapted: AdaptedRows | None,
    task: GymTask,
    stage: str,
) -> AnswerRow:
    """Answer a task, and write down the texts."""
    options = {"new": args.max_new_tokens, "batch_size": args.batch_size, "adapted": adapted}
    written = list(answer_items(form, policy, task.items, **options))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("question", "expected", "written", "score", "nats_of_expected"))
    for item, each in zip(task.items, written, strict=True):
        table.writerow((item.question, item.answer, each.text, each.score, f"{each.nats:.4f}"))
    replace_text(args.out / f"{file_stem(stage.replace(', ', '-'))}.csv", text.getvalue())
    nats = np.array([each.nats for each in written])
    costs = mean(float(nats.sum()), float((nats * nats).sum()), nats.size)
    return AnswerRow(
        stage=stage,
        right=tuple(int(each.score == 1) for each in written),
        tokens=tuple(each.tokens for each in written),
        scores=tuple(each.score for each in written),
        values={k: v for k, v in interval_fields("nats", costs).items() if not math.isnan(v)},
    )


def _nats_text(values: Mapping[str, float]) -> str:
    """Write nats a token, and their interval on a second line; of one item none is known."""
    unknown = {"nats_low": math.nan, "nats_high": math.nan}
    return number_text(interval_of({**unknown, **values}, "nats"), ".3f")


def reasoning_table(name: str, rows: dict[str, list[AnswerRow]]) -> tuple[Table, list[Record]]:
    """Lay out all policies task by task, each beside the first of its task."""
    cells, records, starts = [], [], []
    for task, policies in rows.items():
        starts.append(len(cells))
        for row in policies:
            score, first = mean_of(np.asarray(row.scores)), row is policies[0]
            policy = row.stage.removeprefix(f"{task}, ")
            gained = difference(policies[0], row)
            compared = "" if first else with_interval(gained)
            shown = (with_interval(exact(row)), compared, with_error(score), _nats_text(row.values))
            cells.append((task if first else "", policy, *shown, with_error(mean_of(row.lengths))))
            record: Record = {"task": task, "policy": policy, "items": len(row.right)}
            record |= interval_fields("right", exact(row)) | interval_fields("gained", gained)
            record |= interval_fields("score", score) | dict(row.values)
            records.append(record | interval_fields("tokens", mean_of(row.lengths)))
    header = (
        "task",
        "policy",
        "right",
        "against the first",
        "score",
        "nats of the answer",
        "tokens",
    )
    return Table(f"Answers of {name}", header, tuple(cells), frozenset(starts)), records
