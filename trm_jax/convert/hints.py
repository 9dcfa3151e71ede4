"""What a user says of a checkpoint because its tensors do not show it.

No jax here: the command line is made of it. Not here: how hints and tensors become a configuration
(torch_config.py).
"""

from dataclasses import dataclass

FieldValue = int | float | str | bool

FLAGS = {
    "--h-cycles": "H_cycles",
    "--l-cycles": "L_cycles",
    "--num-heads": "num_heads",
    "--seq-len": "seq_len",
    "--prefix-len": "puzzle_emb_len",
    "--halt-max-steps": "halt_max_steps",
    "--positions": "positions",
    "--forward-dtype": "forward_dtype",
    "--rms-norm-eps": "rms_norm_eps",
    "--rope-theta": "rope_theta",
    "--halt-exploration-prob": "halt_exploration_prob",
    "--no-act-continue": "no_ACT_continue",
}
"""Options of the command line and the fields of a configuration that they set."""


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What the tensors do not show.

    Attributes:
      preset: name of the expected configuration.
      fields: single fields (`FLAGS`); they win.
      entry: of a file that holds several models, which (entries.py).
    """

    preset: str | None = None
    fields: tuple[tuple[str, FieldValue], ...] = ()
    entry: str | None = None


NO_HINTS = Hints()
