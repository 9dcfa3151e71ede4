"""A puzzle, solved by a board: the emulated one, or one behind a serial port.

The board runs the firmware of a package (export/micro.py). Read in this order:

    __main__.py         the command line
    job.py              command line -> package, puzzle and board, checked; what is printed
    package_folder.py   a package on disk, read and checked
    connection.py       bytes to and from a board, with timeouts: QEMU or a serial port
    conversation.py     the firmware's requests over it, and what can go wrong
    comparison.py       whether an answer is the simulation's

Not here: the firmware (export/firmware), its building (export/cortex_m/build.py).
"""
