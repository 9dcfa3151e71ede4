"""Read a text and answer questions under one scheme after the other.

The text goes through the cache in one pass, so that what the cache keeps is what later tokens see.
Schemes that change weights alone share compiled code.
"""

import argparse
import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from experiments.decode.text.passages import CALIBRATION, QUESTIONS, READ
from experiments.decode.text.rows import LAYOUT, TextKey, TextRow, TextSpec, text_folder
from experiments.measurement.choices import environment, parse_schemes
from experiments.measurement.shards import matmul_precision
from experiments.measurement.spec import pending
from experiments.render.console import make_console
from export.footprint.decoder import decoder_footprint
from quant.carry import kv_store
from quant.decoder.simulation import DecoderSimulation, check_decoder_scheme, simulate_decoder
from quant.decoder.texts import CalibrationTexts
from quant.scheme import parse
from trm_jax.command_line import progress_bar
from trm_jax.decoder.files.loading import LoadedDecoder, load_decoder
from trm_jax.decoder.generate import PAD, generate
from trm_jax.decoder.kv_cache import bytes_per_token
from trm_jax.decoder.transformer import Decoder, token_positions
from trm_jax.output.folder import writing
from trm_jax.types import Params

Written = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyTokens:
    """What is read and asked, as tokens.

    Attributes:
      text: one text; its first token is given.
      calibration: another text.
      prompts: questions in the form of chats.
      stops: tokens that end an answer; none where nothing is asked.
    """

    text: tuple[int, ...]
    calibration: tuple[int, ...]
    prompts: tuple[tuple[int, ...], ...]
    stops: tuple[int, ...]


def study_tokens(
    loaded: LoadedDecoder, text: str, limit: int, questions: Sequence[str]
) -> StudyTokens:
    """Cut the texts into the tokens of a model.

    Args:
      limit: of the text's tokens; 0: all.
      questions: that are answered; none: nothing is asked.

    Raises:
      ValueError: the text has fewer than two tokens, or more than the model has positions; or the
        model has no stop token, or no form of chats, and is asked something.
    """
    tokens = loaded.tokenizer.encode(text)
    tokens = tokens[: limit or len(tokens)]
    most = loaded.config.max_positions
    if not 2 <= len(tokens) <= most:
        raise ValueError(
            f"the text must have 2 to {most} tokens of {loaded.name}, got {len(tokens)}; choose"
            " another --text or --limit"
        )
    if questions and not loaded.stops:
        raise ValueError(
            f"{loaded.origin} names no token that ends an answer (eos_token_id); leave answers out"
            " with --max-new-tokens 0"
        )
    return StudyTokens(
        text=tuple(tokens),
        calibration=tuple(loaded.tokenizer.encode(CALIBRATION)),
        prompts=tuple(tuple(loaded.tokenizer.chat(each)) for each in questions),
        stops=loaded.stops if questions else (),
    )


def study_text(
    loaded: LoadedDecoder, tokens: StudyTokens, spec: TextSpec, keys: Sequence[TextKey]
) -> Iterator[TextRow]:
    """Measure schemes and yield every row as it is finished.

    Raises:
      ValueError: weights or ranges that a scheme cannot hold.
    """
    texts = CalibrationTexts(
        tokens=np.asarray([tokens.calibration], np.int32),
        lengths=np.asarray([len(tokens.calibration)], np.int32),
    )
    text = jnp.asarray([tokens.text], jnp.int32)
    for key in keys:
        scheme = parse(key.scheme)
        simulation = simulate_decoder(loaded.config, loaded.params, scheme, texts)
        nats, likeliest = read_text(simulation.decoder, simulation.params, text)
        yield TextRow(
            digest=spec.digest,
            scheme=key.scheme,
            weight_bytes=decoder_footprint(loaded.config, scheme).total,
            cache_bytes=bytes_per_token(loaded.config, kv_store(scheme)),
            nats=tuple(float(value) for value in np.asarray(nats, np.float64)),
            likeliest=tuple(int(token) for token in likeliest),
            written=write_answers(simulation, tokens, spec.max_new_tokens),
        )


@functools.partial(jax.jit, static_argnums=0)
def read_text(
    decoder: Decoder, params: Params, text: Int[Array, "1 seq"]
) -> tuple[Float[Array, " next"], Int[Array, " next"]]:
    """Read a text through the cache.

    Returns:
      Nats of every token but the first, and the likeliest token at each of these places.
    """
    cache = decoder.empty_cache(batch_size=1, positions=text.shape[1])
    hidden, _ = decoder.extend(params, text, token_positions(text), cache)
    logits = decoder.read_out(params, hidden)[0, :-1].astype(jnp.float32)
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    nats = -jnp.take_along_axis(log_probs, text[0, 1:, None], axis=-1)[:, 0]
    return jnp.maximum(nats, 0.0), jnp.argmax(logits, axis=-1)


def write_answers(
    simulation: DecoderSimulation, tokens: StudyTokens, max_new_tokens: int
) -> Written:
    """Answer the questions greedily, all side by side."""
    if not tokens.prompts:  # no token ends what is not asked
        return ()
    width = max(map(len, tokens.prompts))
    padded = [[*prompt, *[PAD] * (width - len(prompt))] for prompt in tokens.prompts]
    written = generate(
        simulation.decoder,
        simulation.params,
        jnp.asarray(padded, jnp.int32),
        jnp.asarray([len(prompt) for prompt in tokens.prompts], jnp.int32),
        stop=tokens.stops,
        max_new_tokens=max_new_tokens,
    )
    pairs = zip(np.asarray(written.tokens), np.asarray(written.lengths), strict=True)
    return tuple(tuple(int(token) for token in row[:length]) for row, length in pairs)


def measure_texts(args: argparse.Namespace) -> None:
    """Plan, measure what is missing, and report.

    Raises:
      ValueError, OSError, ModuleNotFoundError: bad input; nothing was lost.
    """
    from experiments.decode.text.tables import TextAnswers, write_report  # late: rows need none

    schemes = parse_schemes(args.schemes)
    for name in schemes:
        check_decoder_scheme(parse(name))
    text = READ if args.text is None else read_utf8(args.text)
    loaded = load_decoder(args.model)
    questions = (args.ask or QUESTIONS) if args.max_new_tokens else ()
    tokens = study_tokens(loaded, text, args.limit, questions)
    spec = spec_of(loaded, tokens, args.max_new_tokens, schemes)
    console, facts = make_console(), environment()
    with writing(args.out, LAYOUT.output, resume=args.resume):
        folder = text_folder(args.out)
        folder.check(spec, resume=True)
        keys = pending(spec.work_keys(), folder.read_rows(spec))
        folder.open(spec, facts)
        console.print(
            f"{loaded.name} ({loaded.num_parameters:,} weights); {spec.num_tokens - 1} tokens"
            f" predicted, {spec.num_questions} questions; {facts['devices']}; jax {facts['jax']}",
            soft_wrap=True,
        )
        with progress_bar("measuring", len(keys)) as advance, matmul_precision("float32"):
            for done, row in enumerate(study_text(loaded, tokens, spec, keys), start=1):
                folder.append(row)
                advance(done, row.scheme)
        spec = folder.read_spec()
        answers = TextAnswers(tuple(questions), loaded.tokenizer.decode)
        write_report(spec, folder.read_rows(spec), answers, args.out, console)


def spec_of(
    loaded: LoadedDecoder, tokens: StudyTokens, max_new_tokens: int, schemes: tuple[str, ...]
) -> TextSpec:
    """Say what decides the rows of a study."""
    return TextSpec(
        model=loaded.name,
        model_sha256=loaded.sha256,
        text_sha256=_hash(tokens.text),
        calibration_sha256=_hash(tokens.calibration),
        questions_sha256=_hash([*_joined(tokens.prompts), *tokens.stops]),
        num_tokens=len(tokens.text),
        num_questions=len(tokens.prompts),
        max_new_tokens=max_new_tokens,
        schemes=schemes,
    )


def read_utf8(file: Path) -> str:
    """Read a file of text.

    Raises:
      OSError: it cannot be read.
      ValueError: it is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 at byte {error.start}") from error


def _joined(prompts: Sequence[Sequence[int]]) -> list[int]:
    return [token for prompt in prompts for token in (*prompt, -1)]


def _hash(tokens: Sequence[int]) -> str:
    return hashlib.sha256(np.asarray(tokens, np.int64).tobytes()).hexdigest()
