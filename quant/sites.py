"""The matrices of a model by name: the three things that one is for.

A site is the path of a Dense in the parameter tree, `L_level/layers_0/mlp_t/gate_up_proj`. It mixes
positions (`mlp_t`, `self_attn`), it mixes channels (`mlp`), or it reads an answer out (`lm_head`,
`q_head`).

Not here: what a role or a site is stored in (scheme.py, precision_plan.py).
"""

import enum


class Role(enum.Enum):
    """What a matrix is for."""

    MIXER = "mixer"  # between positions: mlp_t, self_attn
    CHANNEL = "channel"  # between channels: mlp
    HEAD = "head"  # lm_head, q_head


def role_of(site: str) -> Role:
    """Read the role off a site, `L_level/layers_0/mlp_t/gate_up_proj`.

    Raises:
      ValueError: not a site of this project's models.
    """
    parts = site.split("/")
    if parts[0] in ("lm_head", "q_head"):
        return Role.HEAD
    roles = {"mlp_t": Role.MIXER, "self_attn": Role.MIXER, "mlp": Role.CHANNEL}
    matches = [roles[part] for part in parts if part in roles]
    if not matches:
        raise ValueError(f"{site!r} is no matrix of a block or head; known parts: {list(roles)}")
    return matches[0]
