"""Speed measured against a named rival in the same run: a folder for each program.

Read in this order: options.py (what the programs share before anything is timed, and how rows are
written), timing.py (the clocks), subject.py (what is timed), torch_reasoner.py (the released model
in PyTorch). Programs: depth_grid, puzzle_step, rollout_gflops, latency, sequence_length,
integer_rollout, integer_products, peak_memory, cluster; in each, __main__.py is the command line,
runner.py times, and contestants.py says who runs it, the rival included.
"""
