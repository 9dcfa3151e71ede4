"""Post-training quantisers. A method is `(params, plan, calibration) -> QuantisedParams`.

Methods differ in how they round. Read in this order:

    calibrate.py   ranges and Hessians along whole trajectories, folded over all cycles
    cells.py       which values of a tensor a range covers
    fold.py        channels inside MLPs brought to like sizes, exactly
    grids.py       grids chosen by the error they leave
    weights.py     rounding to nearest, every kernel on its scheme's grid; bytes of the result
    gptq.py        rounding by Hessians, so that the outputs of a product change least
    rounding.py    rounding and scales learned along trajectories, after GPTQ
    methods.py     the table of methods

Not here: the grid itself (quant/affine.py), schemes and their names (quant/scheme.py).
"""
