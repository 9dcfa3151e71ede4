"""The kinds of input: each with a valid input, its mutations, its true reader and its oracle."""

from tests.fuzz.contract import InputKind
from tests.fuzz.kinds.data import DATA
from tests.fuzz.kinds.models import MODELS
from tests.fuzz.kinds.names import TEXTS

KINDS: dict[str, InputKind] = {kind.name: kind for kind in (*MODELS, *DATA, *TEXTS)}
