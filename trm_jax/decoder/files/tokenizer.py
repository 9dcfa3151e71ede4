"""Text as tokens and back, by the `tokenizers` package: from tokenizer.json, or a GGUF's metadata.

    tokenizer.json   whatever it says; the package reads its own format
    GGUF             byte-level BPE: the tokens, their kinds, and the merges in order. How text is
                     cut before merging has a name, `smollm` or `qwen2` (`CUTS`)

Chats are written in the one form that SmolLM2 and Qwen2.5 share,

    <|im_start|>user\\nTEXT<|im_end|>\\n<|im_start|>assistant\\n

with a system part in front if one is given. Not here: puzzles as tokens (trm_jax/tasks).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHAT_START, CHAT_END = "<|im_start|>", "<|im_end|>"

QWEN_CUT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CONTROL, USER_DEFINED = 3, 4
"""Kinds of tokens in a GGUF that are found in a text before it is cut."""


@dataclass(frozen=True, eq=False)
class TextTokenizer:
    """Text <-> tokens.

    Attributes:
      tokenizer: a `tokenizers.Tokenizer`.
    """

    tokenizer: Any

    def encode(self, text: str) -> list[int]:
        """Cut a text into tokens; nothing is added in front or behind."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Write tokens as text, without those that stand for no text."""
        return self.tokenizer.decode([int(token) for token in tokens], skip_special_tokens=True)

    def chat(self, text: str, system: str | None = None) -> list[int]:
        """Write a user's text as the beginning of a chat that the model goes on with.

        Raises:
          ValueError: the vocabulary has not the tokens of this form.
        """
        for mark in (CHAT_START, CHAT_END):
            if self.tokenizer.token_to_id(mark) is None:
                raise ValueError(
                    f"this tokenizer has no {mark}, so that its form of chats is not known; give"
                    " the text as the model was trained on it"
                )
        front = "" if system is None else f"{CHAT_START}system\n{system}{CHAT_END}\n"
        return self.encode(f"{front}{CHAT_START}user\n{text}{CHAT_END}\n{CHAT_START}assistant\n")


def read_tokenizer(file: Path) -> TextTokenizer:
    """Read tokenizer.json.

    Raises:
      ModuleNotFoundError: `tokenizers` is not installed.
      ValueError: the file is damaged.
    """
    from tokenizers import Tokenizer  # late: only text needs it

    try:
        return TextTokenizer(Tokenizer.from_file(str(file)))
    except Exception as error:  # the package raises nothing narrower
        raise ValueError(f"{file} is no tokenizer.json: {str(error)[:120]}") from error


def _cut_digits() -> Any:
    """Cut as SmolLM2: digits one by one, then GPT-2's words as bytes."""
    from tokenizers import pre_tokenizers

    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words])


def _cut_qwen() -> Any:
    """Cut as Qwen2: by its own expression, then bytes."""
    from tokenizers import Regex, pre_tokenizers

    words = pre_tokenizers.Split(Regex(QWEN_CUT), behavior="isolated")
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([words, bytes_of])


CUTS: dict[str, Callable[[], Any]] = {"smollm": _cut_digits, "qwen2": _cut_qwen}
"""`tokenizer.ggml.pre` -> how text is cut before tokens are merged."""


def tokenizer_of_metadata(metadata: Mapping[str, Any]) -> TextTokenizer:
    """Build the tokenizer that a GGUF describes.

    Args:
      metadata: its keys and values.

    Raises:
      ModuleNotFoundError: `tokenizers` is not installed.
      ValueError: another kind of tokenizer, or its lists do not fit each other.
    """
    from tokenizers import AddedToken, decoders, normalizers

    kind, cut = (metadata.get(f"tokenizer.ggml.{name}") for name in ("model", "pre"))
    if kind != "gpt2" or cut not in CUTS:
        raise ValueError(
            f"tokenizer.ggml.model and .pre must be 'gpt2' and one of {list(CUTS)}, got {kind!r}"
            f" and {cut!r}; give a tokenizer.json beside the file"
        )
    tokens, kinds, merges = (
        _list_of(metadata, f"tokenizer.ggml.{name}", item)
        for name, item in (("tokens", str), ("token_type", int), ("merges", str))
    )
    if len(kinds) != len(tokens) or len(set(tokens)) != len(tokens):
        raise ValueError(
            f"tokenizer.ggml.tokens has {len(tokens)} entries, {len(set(tokens))} of them"
            f" different, and token_type {len(kinds)}"
        )
    tokenizer = _pair_merger(tokens, merges)
    if cut == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = CUTS[cut]()
    tokenizer.decoder = decoders.ByteLevel()
    for add, mark in (
        (tokenizer.add_special_tokens, CONTROL),
        (tokenizer.add_tokens, USER_DEFINED),
    ):
        marked = zip(tokens, kinds, strict=True)
        add([AddedToken(t, normalized=False) for t, kind in marked if kind == mark])
    return TextTokenizer(tokenizer)


def _pair_merger(tokens: list[str], merges: list[str]) -> Any:
    """Build a tokenizer that merges pairs, without what cuts the text before.

    Raises:
      ValueError: the pairs do not fit the tokens.
    """
    from tokenizers import Tokenizer, models

    pairs: Any = [tuple(merge.split(" ")) for merge in merges]  # the package checks them
    vocabulary = {token: number for number, token in enumerate(tokens)}
    try:
        return Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    except Exception as error:  # the package raises nothing narrower
        raise ValueError(f"tokenizer.ggml.merges do not fit the tokens: {error}") from error


def _list_of(metadata: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    values = metadata.get(name)
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise ValueError(f"{name} must be a list of {kind.__name__}, got {str(values)[:40]}")
    return values
