"""Adapters: one prompt's cache for base and adapter, and adapters on a quantised base.

    base                         traces of the decoder in full precision
    adapter                      what --adapter-traces says, trained and used in full precision
    adapter put on SCHEME        the same adapter on quantised weights
    adapter trained on SCHEME    trained on the quantised weights

The second table has the adapters in pairs, on the same puzzles: what quantisation costs an adapter
of full precision, and what training on the quantised weights wins back.

The adapter acts on written tokens, so that the prompt's cache is the base model's. It learns direct
answers, without the work before them, as the switcher's does (switch.py), or brief traces. Whole
traces are what the base writes already: an adapter of those is trained on SCHEME alone and mends
what rounding broke. OUT/adapter has the adapter in PEFT's layout. With --adapter a bundled one, or
such a folder, is taken instead and none is trained.

Times to the first token are of one puzzle: base and adapter each reading the prompt, or one prefill
for both. The cache of the prompt is compared bit by bit.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.decode.studies.folder import AnswerRow, StudyFolder
from experiments.decode.studies.outcomes import answer_table, pair_table, write_tables
from experiments.decode.studies.subject import StudySubject, ask
from experiments.decode.studies.traces import TRAINING_BATCH, TraceDraws, Work
from experiments.render.tables import Table
from trm_jax.decoder.files.adapter_files import save_adapters
from trm_jax.decoder.generate import Prefilled, continue_streams, prefill
from trm_jax.decoder.lora import AdaptedRows, Adapters, LoraConfig, init_adapters
from trm_jax.decoder.tuning import TraceTuner, TuningRecipe, TuningState, start_tuning
from trm_jax.tasks.tokens.form import STOP

TIMED = 30
"""Repetitions of every time; their median counts."""
ALPHA_OF_RANK = 2
"""The study's: alpha is twice the rank."""
ADAPTER_TRACES = {"direct": Work.NONE, "brief": Work.BRIEF, "whole": Work.WHOLE}
"""What --adapter-traces names."""
StudyRows = tuple[list[AnswerRow], list[tuple[AnswerRow, AnswerRow]]]
"""Answers of all policies, and those that are compared in pairs."""


def lora_of(args: argparse.Namespace) -> LoraConfig:
    """Read the sizes of adapters."""
    return LoraConfig(rank=args.rank, alpha=float(ALPHA_OF_RANK * args.rank))


def trained_adapters(
    args: argparse.Namespace,
    subject: StudySubject,
    folder: StudyFolder,
    name: str,
    work: Work = Work.NONE,
) -> AdaptedRows:
    """Train adapters on the subject's weights as they are (quantised or not), and save them.

    Args:
      name: of the training, and of the folder of its adapters.
      work: how much of it the traces show; none: direct answers.
    """
    lora = lora_of(args)
    recipe = TuningRecipe(
        updates=args.supervised_updates, learning_rate=args.adapter_lr, seed=args.seed
    )
    tuner = TraceTuner(subject.network, recipe, base=subject.params, lora=lora)
    draws = TraceDraws(subject, work, args.batch_size or TRAINING_BATCH, args.seed)

    def update(state: TuningState, number: int) -> tuple[TuningState, Callable[[], str]]:
        state, loss = tuner.step(state, *draws.at(number))
        return state, lambda: f"{float(loss):.3f} nats a token"

    first: Adapters = init_adapters(jax.random.key(args.seed), subject.params, lora)
    state = folder.trained(name, start_tuning(first), recipe.updates, update)
    base = subject.name if subject.scheme == "fp32" else f"{subject.name} ({subject.scheme})"
    save_adapters(folder.path / name, state.tuned, lora, subject.model.config, base)
    return AdaptedRows(state.tuned, jnp.float32(lora.scale))


def without_scheme(subject: StudySubject) -> StudySubject:
    """Take the decoder in full precision."""
    network, params = subject.model.decoder, subject.model.params
    return replace(subject, network=network, params=params, scheme="fp32")


def study_lora(
    args: argparse.Namespace, subject: StudySubject, folder: StudyFolder, console: Console
) -> None:
    """Run the study."""
    full, work = without_scheme(subject), ADAPTER_TRACES[args.adapter_traces]
    given = subject.adapter
    mends = work is Work.WHOLE or (given is not None and given.scheme != "")
    acts_on = subject if mends else full
    if given is None:
        adapted = trained_adapters(args, acts_on, folder, "adapter", work)
    else:
        adapted = given.rows
    if mends:
        rows, compared = mending_rows(full, subject, folder, adapted)
    else:
        rows, compared = writing_rows(args, full, subject, folder, adapted)
    table, records = answer_table(f"Adapters of {subject.name}", rows)
    pairs = [pair_table("Adapters in pairs", compared)] if compared else []
    tables = [table, *pairs, sharing_table(acts_on, adapted)]
    write_tables(folder.path, "lora", tables, records, console)


def writing_rows(
    args: argparse.Namespace,
    full: StudySubject,
    subject: StudySubject,
    folder: StudyFolder,
    adapted: AdaptedRows,
) -> StudyRows:
    """Answer with adapters that write otherwise than their base, on both weights."""
    adapter = _answered(folder, full, "adapter", adapted)
    rows = [_answered(folder, full, "base"), adapter]
    if args.scheme == "fp32":
        return rows, []
    rows.append(_answered(folder, subject, f"base, {args.scheme}"))
    moved = _answered(folder, subject, f"put on {args.scheme}", adapted)
    if subject.adapter is not None:
        return [*rows, moved], [(adapter, moved)]
    work = ADAPTER_TRACES[args.adapter_traces]
    later = trained_adapters(args, subject, folder, "adapter-on-scheme", work)
    learned = _answered(folder, subject, f"trained on {args.scheme}", later)
    return [*rows, moved, learned], [(adapter, moved), (moved, learned), (adapter, learned)]


def mending_rows(
    full: StudySubject, subject: StudySubject, folder: StudyFolder, adapted: AdaptedRows
) -> StudyRows:
    """Answer with an adapter that writes what its base wrote before it was quantised."""
    base = _answered(folder, full, "base")
    rounded = _answered(folder, subject, f"base, {subject.scheme}")
    mended = _answered(folder, subject, f"adapter on {subject.scheme}", adapted)
    return [base, rounded, mended], [(base, rounded), (rounded, mended), (base, mended)]


def _answered(
    folder: StudyFolder, subject: StudySubject, stage: str, adapted: AdaptedRows | None = None
) -> AnswerRow:
    return folder.answers(
        stage, lambda: ask(subject, subject.evaluated, adapted=adapted).row(stage)
    )


def sharing_table(subject: StudySubject, adapted: AdaptedRows) -> Table:
    """Time the first token of base and adapter with and without one cache for both."""
    prompts, lengths = (jnp.asarray(x[:1]) for x in subject.prompts(subject.evaluated))
    read = jax.jit(
        lambda adapters: prefill(
            subject.network, subject.params, prompts, lengths, room=8, adapted=adapters
        )
    )

    def first_token(read_by: Prefilled, adapters: AdaptedRows | None) -> jax.Array:
        return continue_streams(
            subject.network,
            subject.params,
            read_by,
            jax.random.key(0),
            stop=STOP,
            max_new_tokens=1,
            adapted=adapters,
        ).tokens

    def apart() -> jax.Array:
        return first_token(read(None), None) + first_token(read(adapted), adapted)

    def together() -> jax.Array:
        once = read(None)
        return first_token(once, None) + first_token(once, adapted)

    equal = same_cache(subject, adapted, read(None))
    rows = (
        ("two prefills", f"{median_ms(apart):.2f}", ""),
        ("one prefill", f"{median_ms(together):.2f}", "equal bit by bit" if equal else "unlike"),
    )
    header = ("first tokens of base and adapter", "ms", "the prompt's cache")
    return Table("One prompt for base and adapter, one puzzle", header, rows, frozenset())


def same_cache(subject: StudySubject, adapted: AdaptedRows, base: Prefilled) -> bool:
    """Compare the prompt's cache with that of adapters masked in the prompt."""
    prompts, lengths = (jnp.asarray(x[:1]) for x in subject.prompts(subject.evaluated))
    off = adapted._replace(rows=jnp.zeros(prompts.shape, bool))
    masked = jax.jit(
        lambda: prefill(subject.network, subject.params, prompts, lengths, room=8, adapted=off)
    )()
    leaves = zip(jax.tree.leaves(base.cache), jax.tree.leaves(masked.cache), strict=True)
    return all(bool((np.asarray(a) == np.asarray(b)).all()) for a, b in leaves)


def median_ms(run: Callable[[], jax.Array]) -> float:
    """Time a function after one run that compiles."""
    jax.block_until_ready(run())
    seconds = []
    for _ in range(TIMED):
        began = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - began)
    return 1000 * float(np.median(seconds))
