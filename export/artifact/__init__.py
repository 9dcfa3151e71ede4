"""An export on disk, opened, run and checked.

Read in this order:

    manifest.py         what an export is and what it must answer
    open.py             a damaged export is refused before any interpreter sees it
    host_state.py       what the host keeps between two calls of the graphs
    solver.py           the host loop: puzzles in, answers out
    check_operators.py  every product alone, against float64
    check_blocks.py     one block against the simulation
    check_rollouts.py   whole rollouts, puzzle by puzzle
    verification.py     all checks in order
    single_puzzle.py    one puzzle, read, answered and judged
"""
