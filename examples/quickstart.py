"""Load a bundled model, quantise and evaluate it, export to TFLite, answer from the file."""

import export

model = export.load_model("sudoku-trm-mlp-mini")
puzzles, scheme = export.load_puzzles(model), export.parse("int4_calibrated")
quantised = export.simulate(model, scheme)
print(export.evaluate(quantised, puzzles, reference=model, limit=100))
export.export_model(model, scheme, "runs/quickstart", puzzles=puzzles)
artifact = export.open_artifact("runs/quickstart")
print(export.answer_puzzle(artifact, puzzles.ordered.inputs[0]).answer)
