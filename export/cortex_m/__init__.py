"""A package for a board: sources, flash contents, test vectors, and what all of it takes.

Read in this order:

    package.py         from an export for TFLM to the package
    sources.py         graphs as C++ arrays, the operator resolver
    row_file.py        what a firmware streams from flash, byte by byte
    flash_contents.py  rows and test vectors of an export
    test_vectors.py    puzzles with the answers of the simulation
    arena.py           arena, measured with TFLM's interpreter
    memory.py          everything that a model takes on a board
    instructions.py    instructions a graph takes
    build.py           arm-none-eabi-gcc; emulator.py: QEMU

The firmware itself is export/firmware, in C.
"""
