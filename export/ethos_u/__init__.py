"""Arm's Ethos-U: what its compiler, Vela, makes of an export, and what it leaves to the CPU.

Read in this order:

    accelerators.py  the accelerators, with the memory system that is assumed around each
    vela.py          one graph through Vela: its file, operators left on the CPU, estimates
    compiled.py      an export and its compiled graphs on disk

The export itself is TFLite Micro's: the same graphs, run and checked by its interpreter before
Vela reads them. Not here: how long the CPU's part takes (cortex_m/instructions.py).
"""
