"""Quantised decoders: schemes, static ranges and GPTQ for models that write tokens.

Read in this order: `texts.py` (what goes through a decoder along texts), `simulation.py` (a scheme
becomes a decoder that computes like the device).

Grids, methods and names of schemes are those of recursive models (quant); what differs is what
is measured along: texts, not cycles. Not here: TFLite Micro's integers, which no decoder has yet.
"""

from quant.decoder.simulation import DecoderSimulation, simulate_decoder
from quant.decoder.texts import CalibrationTexts

__all__ = ["CalibrationTexts", "DecoderSimulation", "simulate_decoder"]
