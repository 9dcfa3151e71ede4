"""Small random decoders as graphs of one target, beside their simulation."""

import functools
from typing import NamedTuple

import numpy as np

from export.decoder.graphs import lower_decoder
from export.decoder.host import DecoderHost
from export.decoder.open import cache_of
from export.graph.files import convert_graphs
from export.graph.ir import GraphModel
from export.lowering.storage import plan_for
from export.runtimes.contract import Runtime
from export.targets import Target
from quant.decoder import DecoderSimulation, simulate_decoder
from quant.scheme import parse
from tests.support.decoders import random_params
from trm_jax.decoder.config import DecoderConfig

PROMPT, POSITIONS = 5, 16


class LoweredDecoder(NamedTuple):
    """Graphs, and what they must compute."""

    model: GraphModel
    simulation: DecoderSimulation

    @property
    def embeddings(self) -> np.ndarray:
        params = self.simulation.params
        if self.simulation.decoder.config.tie_word_embeddings:
            return np.asarray(params["lm_head"]["kernel"]).T
        return np.asarray(params["embed_tokens"]["embedding"])

    def host(self, runtime: Runtime) -> DecoderHost:
        return DecoderHost(
            config=self.simulation.decoder.config,
            runtime=runtime,
            embeddings=self.embeddings,
            cache=cache_of(self.model),
            prompt=PROMPT,
            positions=POSITIONS,
        )


@functools.cache
def lowered_decoder(
    config: DecoderConfig, scheme: str, target: Target = Target.LITERT
) -> LoweredDecoder:
    """Lower a random decoder, in the target's own operators."""
    plan = plan_for(parse(scheme), target)
    simulation = simulate_decoder(config, random_params(config), parse(scheme))
    model = lower_decoder(config, simulation.quantised, plan, prompt=PROMPT, positions=POSITIONS)
    return LoweredDecoder(convert_graphs(model, target), simulation)
