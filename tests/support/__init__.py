"""What test modules share: small inputs, second implementations to compare with, stand-ins.

    samples.py       random models and puzzles; rounding.py, how far float32 runs may differ
    golden_cases.py  outputs of the released PyTorch code; releases.py, files in its layout
    tiny/            models, data sets and runs small enough for whole programs
    sweep_rows.py    rows of sweeps with made-up numbers
    oracles/         the same results by plain loops, which share no code with the packages
    export/          lowered models, single operators, runtimes
    firmware/        machines that run the firmware, and what they must answer
    aihub/           a small AI Hub on this computer
    compiled.py      compiled programs are shared by a test run; slow.py marks what takes long
    programs.py      programs by the names that `python -m` takes; rerouted.py, cuDNN's stand-in

A test module never imports another one; fixtures that a folder shares are in its conftest.py.
"""
