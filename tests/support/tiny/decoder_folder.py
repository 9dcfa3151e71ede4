"""A folder of a random decoder of 6x6 Sudoku."""

from pathlib import Path

from tests.support.decoders import random_params
from trm_jax.decoder.config import DecoderConfig, TraceOrder
from trm_jax.decoder.model_folder import PuzzleDecoder, save_puzzle_decoder
from trm_jax.loading import load_puzzles

POSITIONS = 40
CONFIG = DecoderConfig(
    vocab_size=368,  # of 6x6 puzzles
    hidden_size=16,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=8,
    intermediate_size=24,
    max_positions=POSITIONS,
)


def make_decoder_folder(folder: Path) -> Path:
    """Write the folder; the bundled puzzles are those of the decoder."""
    save_puzzle_decoder(
        folder,
        PuzzleDecoder(
            config=CONFIG,
            params=random_params(CONFIG),
            order=TraceOrder.READING,
            puzzles=load_puzzles("sudoku").facts,
            metadata={},
        ),
    )
    return folder
