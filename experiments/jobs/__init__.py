"""Commands run one after the other, and work done on many machines.

runner.py runs a list of commands and remembers which are done (child.py lets a command end with
who started it); processes.py makes several processes one run by JAX's own start-up. engine.py says
where rows are computed; remote_work.py is work that other machines take up; ray_engine.py hands it
to the nodes of a Ray cluster.
"""
