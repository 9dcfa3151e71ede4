"""Knowledge distillation into a single-cycle student (App. K, Table 14).

Student: half the hidden size and heads, one layer, one H-cycle; KL at temperature 4 with weight
.7, the released loss with .3, lr 3e-4. It is trained to answer in one supervision step, and is
read after one and after as many as its teacher takes. Its states have another size, so there is
no fidelity. The teacher's answers are those after `TEACHER_STEPS`, at which the bundled ones
solve 95 % of what they solve at full depth, at a quarter of the cost.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from experiments.ablate.interventions import (
    AblatedModel,
    Context,
    Intervention,
    NotApplicable,
    sizes,
)
from experiments.ablate.retraining import Setup, Training, brief, fresh_batch, retrained
from experiments.ablate.rows import Facts
from quant.scheme import Scheme
from trm_jax.config import Config, HRMConfig, TRMConfig
from trm_jax.models.build import build
from trm_jax.sharding import device_mesh, replicate
from trm_jax.training.distillation import TaughtLogits, distillation, teach
from trm_jax.types import Batch, Weights

STEPS, BATCH, LR, PUZZLES = 1000, 64, 3e-4, 2048
TEMPERATURE, SHARE = 4.0, 0.7
TEACHER_STEPS, TEACHER_BATCH = 4, 64


def interventions(context: Context) -> tuple[Intervention, ...]:
    """List the teacher and its student at two depths.

    Raises:
      NotApplicable: there is nothing to train on, or no TRM to make smaller.
    """
    student_config(context)
    depths = dict.fromkeys((1, context.steps))
    return (context.full(), *(student(context, steps) for steps in depths))


def student_config(context: Context) -> Config:
    """Halve the width, keep one layer and one H-cycle; one number per training puzzle.

    Raises:
      NotApplicable: HRM, whose two levels do not become one layer.
    """
    config = context.model.config
    if isinstance(config, HRMConfig):
        raise NotApplicable("the paper's single-cycle student is a small TRM; HRM has two levels")
    assert isinstance(config, TRMConfig)
    return dataclasses.replace(
        config,
        hidden_size=config.hidden_size // 2,
        num_heads=max(1, config.num_heads // 2),
        L_layers=1,
        H_cycles=1,
        puzzle_emb_ndim=config.puzzle_emb_ndim // 2,
        halt_max_steps=1,
        num_puzzle_identifiers=context.effort.of(PUZZLES),
        forward_dtype=context.dtype,
    )


def student(context: Context, steps: int) -> Intervention:
    """Train the student once, and read it after some supervision steps."""
    recipe = dataclasses.replace(
        brief(context.effort.of(STEPS), BATCH, LR, context.seed),
        puzzle_emb_lr=0.0,
        puzzle_emb_weight_decay=0.0,
    )
    training = Training(recipe=recipe, puzzles=context.effort.of(PUZZLES), augment=False)

    def make() -> AblatedModel:
        weights, facts = trained_student(context, training)
        config = dataclasses.replace(student_config(context), num_puzzle_identifiers=1)
        alone = weights._replace(puzzle_emb=weights.puzzle_emb[:1])
        return AblatedModel(
            reasoner=build(config),
            weights=replicate(alone, device_mesh()),
            steps=steps,
            facts={**sizes(alone, Scheme()), **facts},
        )

    return Intervention(
        name=f"student, n={steps}",
        make=make,
        settings={
            "steps": steps,
            "temperature": TEMPERATURE,
            "share": SHARE,
            "teacher_steps": TEACHER_STEPS,
            **training.settings(context),
        },
        made_once="student",
    )


def trained_student(context: Context, training: Training) -> tuple[Weights, Facts]:
    """Train the student, or take the one trained before."""

    def setup() -> Setup:
        puzzles = fresh_batch(context, training.puzzles)
        numbers = jnp.arange(puzzles.inputs.shape[0], dtype=jnp.int32)
        taught = answers(context, puzzles)
        return Setup(
            build(student_config(context)),
            puzzles._replace(puzzle_identifiers=numbers),
            None,
            distillation(taught, temperature=TEMPERATURE, share=SHARE),
        )

    return retrained(context, "student", training, setup)


def answers(context: Context, puzzles: Batch) -> TaughtLogits:
    """Ask the teacher all training puzzles, in batches of one size."""
    teacher, count = context.original, puzzles.inputs.shape[0]
    ask = jax.jit(teach, static_argnames=("teacher", "steps"))
    parts = []
    for begin in range(0, count, TEACHER_BATCH):
        index = np.arange(begin, begin + TEACHER_BATCH) % count  # the last batch wraps around
        batch = jax.tree.map(lambda a, i=index: a[i], puzzles)
        logits = ask(teacher.reasoner, teacher.weights, batch, steps=TEACHER_STEPS)
        parts.append(np.asarray(logits, np.float32)[: count - begin])
        context.announce(f"the teacher answers: {begin} of {count}")
    return jnp.asarray(np.concatenate(parts))
