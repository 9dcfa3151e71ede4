"""Models, data sets and command lines small enough to run whole programs in a test."""
