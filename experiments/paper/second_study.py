"""Numbers of "Efficient Reasoning on the Edge" (arXiv 2603.16867), as printed, in percent.

The study fits a decoder of 3 to 7 billion weights (Qwen2.5-Instruct) onto phones; this project's
decoders are four orders of magnitude smaller and solve puzzles, so that nothing here is reproduced:
the tables stand beside ours for the direction of an effect. The authors' own project page is told
apart from the paper. No latency, energy, memory or tokens per second is printed anywhere in it.
"""

from typing import NamedTuple

SOURCE = "Efficient Reasoning on the Edge (arXiv 2603.16867)"

CAPS = ("1K", "2K", "4K", "6K", "32K")
"""Tokens at which an answer is cut and asked for."""

BUDGET_FORCING = {
    "supervised": (34, 57, 73, 83, 95),
    "reinforced, KL 1e-3": (62, 78, 85, 90, 92),
    "reinforced, KL 1e-4": (72, 80, 84, 85, 90),
}
"""MATH500 under hard caps; traces became 2.38 times shorter on average at a cap of 6K."""

SAMPLES = (1, 2, 4, 6, 8)
"""Samples of one prompt."""

VOTES = {
    "majority": (69.9, 70.0, 75.1, 76.6, 77.5),
    "weighted by a verifier": (69.9, 72.7, 76.1, 77.5, 78.2),
}
"""MATH500, 4-bit Qwen2.5-7B-Instruct without reasoning adapters; greedy 71.0."""

QUANTISED = {
    "16-bit floats": 60.54,
    "W4A16KV8, adapters trained on the quantised base": 58.12,
    "adapters of 16-bit floats put on a naively quantised base": 0.0,
}
"""Average of five benchmarks."""


class CirculatingClaim(NamedTuple):
    """What secondary articles say of the study, and what its text says."""

    claim: str
    finding: str


CIRCULATING = (
    CirculatingClaim(
        "78.4 / 77.1 / 76.8 % over five benchmarks",
        "not in the paper; its averages are 60.54 and 58.12",
    ),
    CirculatingClaim(
        "45, then 32, then 24 tokens an answer",
        "not in the paper; traces have thousands of tokens and become 2.4 times shorter",
    ),
    CirculatingClaim(
        "KV cache from 1,200 to 210 MiB",
        "not in the paper; Qwen2.5-7B holds 57,344 bytes a token in 16 bits, 28,672 in int8",
    ),
    CirculatingClaim(
        "1,200, 620, 660 ms on a Snapdragon 8 Gen 2; first token 180, then 95 ms",
        "not in the paper; no latency is printed",
    ),
    CirculatingClaim("trained by PPO", "GRPO"),
    CirculatingClaim("GSM-8K and MathQA as training data", "OpenThoughts3"),
    CirculatingClaim("a switcher of 0.1 M weights", "one hidden layer of 8 units"),
    CirculatingClaim(
        "the cache is split over cores, and shared across prompts",
        "base and adapter share the cache of one prompt, by adapters masked by position",
    ),
    CirculatingClaim(
        "less than 2 % of accuracy lost",
        "quantisation costs 2.4 points of the average (60.54 to 58.12), reinforcement without a"
        " cap 3 to 5",
    ),
)
"""Numbers that circulate without a source in the study."""
