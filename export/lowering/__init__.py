"""From a quantised model to operator graphs, from the integers that were evaluated.

Read in this order:

    storage.py            how a target stores and multiplies every matrix
    matrices.py           weights of a product, from a QTensor, never rounded again
    float_matmul.py       one Dense as operators; float_block.py: one block
    integer_matmul.py     products of integers; integer_block.py, integer_attention.py: blocks
    stages.py             a network cut into graphs that share one arena
    model.py              block and head graphs of a model
    unroll.py             an H-cycle or a supervision step in one graph
    reference.py          an independent float graph, as a second opinion

Not here: what a runtime computes right (export/legality), files (export/graph).
"""
