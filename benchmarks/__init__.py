"""Speed measured against a named rival in the same run.

timing.py measures; subject.py is what is timed; contestants.py and step_contestants.py are who
runs it; torch_reasoner.py is the rival in PyTorch. Programs: depth_grid, rollout_gflops,
integer_rollout, latency, sequence_length.
"""
