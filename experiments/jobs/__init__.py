"""Commands run one after the other or on many machines.

runner.py runs a list of commands and remembers which are done (child.py lets a command end with
who started it); processes.py makes several
processes one run by JAX's own start-up.
"""
