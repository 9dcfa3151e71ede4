"""The kinds of input: each with a valid input, its mutations, its true reader and its oracle."""

from tests.fuzz.contract import InputKind
from tests.fuzz.kinds.commands import COMMANDS
from tests.fuzz.kinds.data import DATA
from tests.fuzz.kinds.exports import EXPORTS
from tests.fuzz.kinds.firmware import FIRMWARE
from tests.fuzz.kinds.hub import HUB
from tests.fuzz.kinds.models import MODELS
from tests.fuzz.kinds.names import TEXTS
from tests.fuzz.kinds.rows import RESULTS
from tests.fuzz.kinds.training import TRAINING

ALL = (*MODELS, *DATA, *TEXTS, *EXPORTS, *RESULTS, *FIRMWARE, *HUB, *COMMANDS, *TRAINING)
KINDS: dict[str, InputKind] = {kind.name: kind for kind in ALL}
