"""`plot`: curves of any runs against environment steps, with bands over training seeds."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich import box
from rich.table import Table

from pathb_jax.cli import command
from pathb_jax.cli.exit_codes import OK
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.cli.output_files import check_distinct, check_output
from pathb_jax.config import DefaultHint
from pathb_jax.display.terminal import Terminal, notice
from pathb_jax.errors import InputError
from pathb_jax.store.own_files import is_own_json, is_own_picture
from pathb_jax.studies.curves import Curve, FigureName, read_curves

DESCRIPTION = """Draw figures of runs against environment steps, of finished runs and of those that
are still training, from their files alone.

Runs that differ in their training seed alone are one curve: the median over them, with the
interquartile range as a band, or from the least to the largest where there are fewer than four.
Others are curves of their own, named by the settings that differ. Success and alignment are those
of the run's own first evaluation set; the others are running means over 1/25 of a run.

Exit status: 0 it was drawn; 2 bad input, such as a folder without runs."""

FORMAT = "pathb-plot-v1"
KINDS = (".png", ".svg", ".pdf")


@dataclasses.dataclass(frozen=True)
class PlotFlags:
    """What to draw, and where."""

    folders: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DIR...")]
    """Folders of a run each, or of runs: a ladder's, a study's."""
    out: Path
    """The picture: a .png, .svg or .pdf file."""
    figures: tuple[FigureName, ...] = (*("success", "alignment", "return", "reward", "value_loss"),)
    """What to draw, one panel each; alignment is the shadow field's, return any other's."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write the plotted numbers to this file too; - is standard output."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(PlotFlags, arguments, DESCRIPTION)
    _check(flags)

    from pathb_jax.report.curves_figure import MOST_CURVES, draw_curves
    from pathb_jax.store.atomic import write_atomically

    figures = tuple(dict.fromkeys(flags.figures))
    curves = read_curves(flags.folders, figures)
    if not (figures := tuple(curves[0].figures)):
        allowed = "no run there tells it"
        raise InputError("--figures", " ".join(flags.figures), allowed)
    if not any(band.env_steps for curve in curves for band in curve.figures.values()):
        folders = ", ".join(map(str, flags.folders))
        raise InputError("DIR...", folders, "no run there has a figure yet; wait for the first")
    if len(curves) > MOST_CURVES:
        allowed = f"no more than {MOST_CURVES} can be told apart; give fewer runs"
        raise InputError("DIR...", f"{len(curves)} curves", allowed)
    picture = draw_curves(curves, figures, flags.out.suffix[1:])
    with json_result(flags.json) as write:
        _print(curves, figures)
        write({"format": FORMAT, "curves": [_result(curve) for curve in curves]})
    write_atomically(flags.out, picture)
    notice(f"picture: {flags.out}")
    return OK


def _check(flags: PlotFlags) -> None:
    if not flags.folders:
        raise InputError("DIR...", "(missing)", "give at least one folder of runs")
    if not flags.figures:
        raise InputError("--figures", "(missing)", "name at least one figure")
    if flags.out.suffix not in KINDS:
        raise InputError("--out", str(flags.out), "give the path of a .png, .svg or .pdf file")
    check_distinct({"--out": flags.out, "--json": flags.json})
    check_output("--out", flags.out, is_own_picture, "picture")
    for folder in flags.folders:
        check_json(flags.json, is_own_json(format=FORMAT), "numbers", folder)


def _result(curve: Curve) -> dict[str, object]:
    runs = [{**run._asdict(), "folder": str(run.folder)} for run in curve.runs]
    return {**curve._asdict(), "runs": runs}


def _print(curves: Sequence[Curve], figures: Sequence[FigureName]) -> None:
    """Print every curve's last median."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("curve", overflow="fold")
    for heading in ("runs", "M steps", *figures):
        table.add_column(heading, justify="right", overflow="fold")
    for curve in curves:
        ends = [curve.figures[name].median[-1:] for name in figures]
        steps = max(run.env_steps for run in curve.runs)
        table.add_row(
            curve.label,
            f"{len(curve.runs)}",
            f"{steps / 1e6:.2f}",
            *(f"{end[0]:.3f}" if end else "-" for end in ends),
        )
    Terminal(soft_wrap=False).print(table)
