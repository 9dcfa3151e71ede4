"""Models as graphs, graphs of one operator, and the runtimes that run them in tests."""
