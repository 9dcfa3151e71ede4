"""Decoders: keys and values against the tokens in context, and how many tokens a budget holds.

A decoder's state grows with every token, where a recursion's stays: what is asked of a device is
the weights and the cache at the longest context. Everything follows from shapes.

    OUT/decoders.csv   one record per decoder and scheme

Not here: work and bytes of a puzzle (experiments.decode, which knows how many tokens are written).
"""

from collections.abc import Mapping, Sequence

from experiments.render.tables import Record, Table, size_text
from export.footprint.decoder import DecoderFootprint, decoder_footprint
from export.footprint.estimate import BUDGETS
from quant.decoder.simulation import check_decoder_scheme
from quant.scheme import parse, short_name
from trm_jax.decoder.config import DECODER_PRESETS, DecoderConfig
from trm_jax.decoder.loading import is_decoder, load_named_decoder

RELEASED = {
    "smollm2-135m": DecoderConfig(
        vocab_size=49_152,
        hidden_size=576,
        num_layers=30,
        num_heads=9,
        num_kv_heads=3,
        head_dim=64,
        intermediate_size=1536,
        max_positions=8192,
    ),
    "qwen2.5-0.5b": DecoderConfig(
        vocab_size=151_936,
        hidden_size=896,
        num_layers=24,
        num_heads=14,
        num_kv_heads=2,
        head_dim=64,
        intermediate_size=4864,
        max_positions=32_768,
        qkv_bias=True,
    ),
    "qwen2.5-7b": DecoderConfig(
        vocab_size=152_064,
        hidden_size=3584,
        num_layers=28,
        num_heads=28,
        num_kv_heads=4,
        head_dim=128,
        intermediate_size=18_944,
        max_positions=32_768,
        qkv_bias=True,
        tie_word_embeddings=False,
    ),
}
"""Sizes of released models, as their config.json states them; the last is the second study's."""
KNOWN = {**DECODER_PRESETS, **RELEASED}
CONTEXTS = (128, 512, 2048, 8192, 32_768)
"""Tokens in context, prompt and answer together."""


def is_counted_decoder(name: str) -> bool:
    """Return whether a name or folder is a decoder's."""
    return name in KNOWN or is_decoder(name)


def decoder_config_of(name: str) -> DecoderConfig:
    """Find the sizes of a decoder, by name or folder."""
    return KNOWN[name] if name in KNOWN else load_named_decoder(name).config


def decoder_schemes(schemes: Sequence[str]) -> list[str]:
    """Choose the schemes that decoders can have; the others are of recursive models.

    Raises:
      ValueError: none of them.
    """
    kept, refused = [], None
    for name in schemes:
        try:
            check_decoder_scheme(parse(name))
            kept.append(name)
        except ValueError as error:
            refused = error
    if refused is not None and not kept:
        raise refused
    return kept


def decoder_records(configs: Mapping[str, DecoderConfig], schemes: Sequence[str]) -> list[Record]:
    """Count every decoder under every scheme."""
    return [
        _record(name, scheme, decoder_footprint(config, parse(scheme)))
        for name, config in configs.items()
        for scheme in schemes
    ]


def _record(name: str, scheme: str, size: DecoderFootprint) -> Record:
    most, each = size.config.max_positions, size.token_bytes
    return {
        "decoder": name,
        "scheme": scheme,
        "parameters": size.num_parameters,
        "stored": size.total,
        "kv_per_token": each,
        "positions": most,
        **{f"kv_{tokens}": tokens * each if tokens <= most else None for tokens in CONTEXTS},
        **{
            f"tokens beside, {b}": max(0, limit - size.total) // each
            for b, limit in BUDGETS.items()
        },
        **{f"tokens alone, {b}": limit // each for b, limit in BUDGETS.items()},
    }


def decoder_table(records: Sequence[Record]) -> Table:
    """Lay out the cache against context, and the longest context of every budget."""
    body, sections, last = [], set(), None
    for record in records:
        if record["decoder"] != last:
            sections.add(len(body))
        caches = (record[f"kv_{tokens}"] for tokens in CONTEXTS)
        body.append(
            (
                record["decoder"] if record["decoder"] != last else "",
                short_name(record["scheme"]),
                size_text(record["stored"]),
                size_text(record["kv_per_token"]),
                *("" if size is None else size_text(size) for size in caches),
                *(_longest(record, budget) for budget in BUDGETS),
            )
        )
        last = record["decoder"]
    header = (
        "Decoder",
        "Scheme",
        "Stored",
        "KV a\ntoken",
        *(f"KV, {tokens:,}\ntokens" for tokens in CONTEXTS),
        *(f"Tokens in {name}:\nweights beside, in flash" for name in BUDGETS),
    )
    title = (
        "Keys and values of one stream against tokens in context; no more than the decoder has"
        " positions"
    )
    return Table(title, header, tuple(body), frozenset(sections))


def _longest(record: Record, budget: str) -> str:
    """Write how many tokens fit: with the weights in the same memory, and with the cache alone."""
    counts = (record[f"tokens {where}, {budget}"] for where in ("beside", "alone"))
    fitting = (min(count, record["positions"]) for count in counts)
    return ", ".join(f"{count:,}" if count else "none" for count in fitting)


def count_decoders(names: Sequence[str], schemes: Sequence[str]) -> list[Record]:
    """Count decoders by name or folder.

    Raises:
      ValueError, OSError: no such decoder, or a damaged one.
    """
    return decoder_records({name: decoder_config_of(name) for name in names}, schemes)
