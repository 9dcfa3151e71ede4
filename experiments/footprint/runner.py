"""Count what a command line names, print it and write it down."""

from pathlib import Path

from experiments.footprint import paper_check, scale, tables
from experiments.footprint import rows as footprint_rows
from experiments.footprint.decoders import (
    count_decoders,
    decoder_schemes,
    decoder_table,
    is_counted_decoder,
)
from experiments.footprint.job import DECODER_SCHEMES, SCHEMES, config_of
from experiments.measurement.folders import FOOTPRINT
from experiments.render import tables as render_tables
from experiments.render.console import make_console
from quant.recipe import given_name
from trm_jax.output.folder import writing


def run_footprint(models: str, schemes: str, out: Path) -> None:
    """Count configurations under schemes, print the tables and write all files.

    Args:
      models, schemes: names, joined by commas.
      out: folder of the rows and tables.

    Raises:
      ValueError, OSError: unknown names, or nothing can be written.
    """
    names = [text.strip() for text in models.split(",")]
    decoders = [name for name in names if is_counted_decoder(name)]
    configs = {name: config_of(name) for name in names if name not in decoders}
    given = list(dict.fromkeys(given_name(scheme.strip()) for scheme in schemes.split(",")))
    rows, counted = footprint_rows.records(configs, given), []
    printed = [*tables.all_tables(rows), paper_check.table(paper_check.checks())] if configs else []
    if decoders:
        is_silent = given == [given_name(name) for name in SCHEMES]
        chosen = DECODER_SCHEMES if is_silent else decoder_schemes(given)
        counted = count_decoders(decoders, chosen)
        printed.append(decoder_table(counted))
    notes = [tables.energy_note()] if configs else []
    text = "\n".join([*map(render_tables.to_markdown, printed), *notes, ""])
    with writing(out, FOOTPRINT):
        footprint_rows.write_rows(out, rows)
        for name, records in (("footprint", rows), ("decoders", counted)):
            file = out / f"{name}.csv"
            if records:
                file.write_text(render_tables.to_csv(records), encoding="utf-8")
            else:  # an earlier run's says nothing of this one
                file.unlink(missing_ok=True)
        (out / "footprint.md").write_text(text, encoding="utf-8")
    console = make_console()
    render_tables.print_tables(printed, console)
    console.print(f"rows and tables: {out}", soft_wrap=True)


def run_scale(rates: str | None, prices: str | None) -> None:
    """Print what the whole paper takes.

    Args:
      rates, prices: NAME=NUMBER of devices, joined by commas.

    Raises:
      ValueError: they are something else.
    """
    numbers = scale.read_numbers("--rates", rates), scale.read_numbers("--prices", prices)
    render_tables.print_tables(scale.scale_tables(scale.with_numbers(*numbers)), make_console())
