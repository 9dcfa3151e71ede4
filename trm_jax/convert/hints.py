"""What a user says of a checkpoint because its tensors do not show it.

No jax here: the command line is made of it. Not here: how hints and tensors become a configuration
(torch_config.py).
"""

from dataclasses import dataclass

FLAGS = {
    "--h-cycles": "H_cycles",
    "--l-cycles": "L_cycles",
    "--num-heads": "num_heads",
    "--seq-len": "seq_len",
    "--prefix-len": "puzzle_emb_len",
}
"""Options of the command line and the fields of a configuration that they set."""


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What the tensors do not show.

    Attributes:
      preset: name of the expected configuration.
      fields: single fields (`FLAGS`); they win.
    """

    preset: str | None = None
    fields: tuple[tuple[str, int], ...] = ()


NO_HINTS = Hints()
