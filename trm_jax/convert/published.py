"""Public checkpoints known by short names (REFERENCE 2.3).

None of them is bundled or was measured here; `claim` repeats what their authors say.
A checkpoint whose file name we have not seen must be named by the user in full.
"""

import dataclasses
from dataclasses import dataclass

from trm_jax.config import (
    ARC_TRM_ATT,
    ARC_TRM_ATT_PUBLIC,
    MAZE_HRM,
    MAZE_TRM_ATT,
    SUDOKU_HRM,
    SUDOKU_TRM_ATT,
    SUDOKU_TRM_MLP,
    Config,
)

ARC_HRM = dataclasses.replace(MAZE_HRM, vocab_size=12)


@dataclass(frozen=True, kw_only=True)
class Published:
    """One public checkpoint.

    Attributes:
      repo: its Hugging Face repository (or Kaggle page).
      file: its path there; None if not known to us.
      task: what it solves, by its name in trm_jax.tasks.
      config: the configuration to check against (identifier counts come from the file); None
        if not known: then the file's all_config.yaml or --preset says it.
      claim: accuracy its authors state, or what else is known.
    """

    repo: str
    file: str | None
    task: str
    config: Config | None
    claim: str = ""

    @property
    def source(self) -> str:
        """The source string of the Hub file.

        Raises:
          ValueError: its file name is not known.
        """
        if self.file is None:
            raise ValueError(
                f"the file name in {self.repo} is not known; look it up there and pass"
                f" hf:{self.repo}/FILE (or download it and pass its path)"
            )
        return f"hf:{self.repo}/{self.file}"


PUBLISHED: dict[str, Published] = {
    "trm-mlp-sudoku-alphaxiv": Published(
        repo="alphaXiv/trm-model-sudoku",
        file="step_39060_sudoku_epoch_60k",
        task="sudoku",
        config=SUDOKU_TRM_MLP,
        claim="the paper's Sudoku baseline: 73.83 % on 256 puzzles",
    ),
    "trm-mlp-sudoku-alphaxiv-50k": Published(
        repo="alphaXiv/trm-model-sudoku",
        file="step_32550_sudoku_epoch50k",
        task="sudoku",
        config=SUDOKU_TRM_MLP,
    ),
    "trm-att-sudoku-alphaxiv": Published(
        repo="alphaXiv/trm-model-sudoku",
        file="step_39060_sudoku_60k_epoch_attn_type",
        task="sudoku",
        config=SUDOKU_TRM_ATT,
        claim="the paper's TRM-Attention: 73.05 % on 256 puzzles",
    ),
    "trm-att-sudoku-alphaxiv-50k": Published(
        repo="alphaXiv/trm-model-sudoku",
        file="step_32550_sudoku_50k_epoch_attn_type",
        task="sudoku",
        config=SUDOKU_TRM_ATT,
    ),
    "trm-att-maze-alphaxiv": Published(
        repo="alphaXiv/trm-model-maze",
        file="maze_hard_step_32550",
        task="maze",
        config=MAZE_TRM_ATT,
        claim="83.67 % exact, 90.7 % lenient",
    ),
    "trm-att-arc1-alphaxiv": Published(
        repo="alphaXiv/trm-model-arc-agi-1",
        file="step_259320_arc_ag1_attn_type_h3l4",
        task="arc",
        config=ARC_TRM_ATT_PUBLIC,
    ),
    "trm-att-maze-yagizdevre": Published(
        repo="yagizdevre/trm-maze-30x30",
        file="model.pt",
        task="maze",
        config=MAZE_TRM_ATT,
        claim="the paper's Maze checkpoint: 87 %",
    ),
    "trm-mlp-sudoku-sanjin2024": Published(
        repo="Sanjin2024/TinyRecursiveModels-Sudoku-Extreme-mlp",
        file="step_16275",
        task="sudoku",
        config=SUDOKU_TRM_MLP,
        claim="84.7-84.8 %",
    ),
    "trm-att-sudoku-sanjin2024": Published(
        repo="Sanjin2024/TinyRecursiveModels-Sudoku-Extreme-att",
        file="step_21700",
        task="sudoku",
        config=SUDOKU_TRM_ATT,
        claim="77.7 %",
    ),
    "trm-att-maze-sanjin2024": Published(
        repo="Sanjin2024/TinyRecursiveModel-Maze-Hard",
        file="step_9765",
        task="maze",
        config=MAZE_TRM_ATT,
        claim="78.7 %",
    ),
    "trm-att-arc1-sanjin2024": Published(
        repo="Sanjin2024/TinyRecursiveModels-ARC-AGI-1",
        file="step_155718",
        task="arc",
        config=ARC_TRM_ATT_PUBLIC,
        claim="41 % pass@2; 1.8 GB",
    ),
    "trm-att-arc2-sanjin2024": Published(
        repo="Sanjin2024/TinyRecursiveModels-ARC-AGI-2",
        file=None,
        task="arc",
        config=ARC_TRM_ATT,
        claim="2.5 GB",
    ),
    "trm-att-arc1-arcprize": Published(
        repo="arcprize/trm_arc_prize_verification",
        file="arc_v1_public/step_518071",
        task="arc",
        config=ARC_TRM_ATT_PUBLIC,
        claim="40 %, official verification",
    ),
    "trm-att-arc2-arcprize": Published(
        repo="arcprize/trm_arc_prize_verification",
        file="arc_v2_public/step_723914",
        task="arc",
        config=ARC_TRM_ATT,
        claim="6.2 %, official verification",
    ),
    "trm-sudoku-cgar": Published(
        repo="Kaleemullah/trm-cgar-sudoku",
        file="pytorch_model.bin",
        task="sudoku",
        config=None,
        claim="87.32 %; a variant, give --preset",
    ),
    "trm-att-arc-kaggle": Published(
        repo="cpmpml/arc-prize-trm-031 (Kaggle)",
        file=None,
        task="arc",
        config=ARC_TRM_ATT,
        claim="step_275886, base of the paper's test-time training",
    ),
    "hrm-sudoku-sapientinc": Published(
        repo="sapientinc/HRM-checkpoint-sudoku-extreme",
        file="checkpoint",
        task="sudoku",
        config=SUDOKU_HRM,
        claim="55.1 %; the paper's HRM: 47.66 % on 256 puzzles",
    ),
    "hrm-maze-sapientinc": Published(
        repo="sapientinc/HRM-checkpoint-maze-30x30-hard",
        file="checkpoint",
        task="maze",
        config=MAZE_HRM,
    ),
    "hrm-arc2-sapientinc": Published(
        repo="sapientinc/HRM-checkpoint-ARC-2",
        file="checkpoint",
        task="arc",
        config=ARC_HRM,
    ),
    "hrm-sudoku-zbloss": Published(
        repo="zbloss/HRM-sudoku-extreme",
        file=None,
        task="sudoku",
        config=SUDOKU_HRM,
        claim="safetensors",
    ),
    "hrm-sudoku-bnsh": Published(
        repo="bnsh/HRM-checkpoint-sudoku-full",
        file=None,
        task="sudoku",
        config=SUDOKU_HRM,
    ),
    "hrm-sudoku-zonetwelve": Published(
        repo="ZoneTwelve/HRM-Sudoku",
        file=None,
        task="sudoku",
        config=SUDOKU_HRM,
    ),
}


def describe() -> list[tuple[str, str, str]]:
    """List name, origin and claim of every known checkpoint."""
    return [
        (name, f"{entry.repo}/{entry.file or '(file name not known)'}", entry.claim)
        for name, entry in PUBLISHED.items()
    ]
