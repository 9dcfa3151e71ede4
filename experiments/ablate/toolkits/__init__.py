"""Other toolkits for quantisation, put to a recursive reasoner: what a user would take instead.

Read qwix_weights.py (Qwix: GPTQ and QEP on the Flax module) and litert_files.py
(ai-edge-quantizer: recipes on the exported float file). Both see one call of a network, for that
is what they are made for. `first call` gives them just that; `all calls` hands them what this
project's own loop collects along whole trajectories, which no toolkit collects itself. What a
toolkit refuses is kept in its own words (`refusal`).

Not here: which of them are compared with what (studies/toolkits.py).
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator

import jax


@contextlib.contextmanager
def foreign_conventions() -> Iterator[None]:
    """Let a foreign package run as it expects: JAX's own promotion rules, its warnings unheard."""
    with (
        warnings.catch_warnings(),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        warnings.simplefilter("ignore")
        yield


def refusal(attempt: Callable[[], object]) -> str:
    """Try what a toolkit may refuse, and return its own words: the error's first sentence.

    Returns:
      "" if it was not refused.
    """
    try:
        attempt()
    except Exception as error:  # whatever kind a foreign package raises is what is asked for
        first = (str(error).strip() or "no message").splitlines()[0].partition(". ")[0]
        return f"{type(error).__name__}: {first}"
    return ""
