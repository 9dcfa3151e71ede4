"""One module per study: a function from a context to its interventions, the reference first."""
