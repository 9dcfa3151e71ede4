"""One update of training and what it needs, as pure functions (loops: experiments/train).

Read in this order:

    recipe.py           the hyper-parameters of a run
    optim.py            AdamATan2, sign-SGD, schedule, EMA
    losses.py           stablemax cross-entropy and the halting loss
    augment.py          symmetries of puzzles, drawn on the device
    step.py             the jitted training step
    distillation.py     an objective that follows a teacher
    puzzle_rows.py      rows of the puzzle table for tasks the model has not seen
    running_metrics.py  metrics between two rows of a log

Not here: data sets (trm_jax/data), checkpoints, command lines.
"""
