"""`power`: what a protocol would adopt, told from finished runs before it is registered."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from pathb_jax.cli import command
from pathb_jax.cli.exit_codes import OK
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.config import DefaultHint
from pathb_jax.display.terminal import say
from pathb_jax.errors import InputError
from pathb_jax.store.own_files import is_own_json

if TYPE_CHECKING:
    from pathb_jax.judging.populations import Found
    from pathb_jax.judging.power import Cell, Chance, Population
    from pathb_jax.ladder.protocol import Protocol

DESCRIPTION = """Say what a protocol would adopt, and what that costs, from finished runs: the
command to run before registering one.

The runs of a candidate (found by their hyper-parameters) stand for what training seeds give. For so
many voting seeds and seeds a set: a voting seed is one of the runs, drawn with replacement; its
sets are drawn anew at its own success rates; stage 2 passes as often as in the windows of its last
third. The candidates come in the protocol's order and the first that passes is adopted. A candidate
holds if the mean success rates of all its runs reach every floor and differ by no more than the
stages on two sets allow, whatever stage 2 says. All chances are exact for the runs given; intervals
say how far resampling these runs moves them (90 %, 2,000 resamples), and there is none where a
candidate has one run, which tells nothing of training seeds. Hours are the runs' own training.

Exit status: 0 done; 2 bad input, such as a run that is not over."""

FORMAT = "pathb-power-v1"
MOST_TRAIN_SEEDS, MOST_EVAL_SEEDS = 1000, 2048


@dataclasses.dataclass(frozen=True)
class PowerFlags:
    """Which protocol, and which runs it is told from."""

    folders: Annotated[tuple[Path, ...], tyro.conf.arg(name="from", metavar="DIR...")]
    """Folders of finished runs, or of many: a ladder's or a study's folder."""
    protocol: str = "path_b"
    """A protocol that ships with the package, or the path of a TOML file."""
    train_seeds: tuple[int, ...] = (1, 3, 5)
    """Voting training seeds of each candidate, one grid line each. As many have to pass as the
    protocol's share of them; of one voting seed a majority is made."""
    eval_seeds: tuple[int, ...] = (32, 64, 256, 1024)
    """Seeds of each evaluation set, likewise."""
    uncertain_rates: bool = False
    """Take a run's true rates for known only as far as its own sets tell them (beta-binomial,
    Jeffreys' prior); for runs evaluated on few seeds."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write all figures to this file too; - is standard output."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(PowerFlags, arguments, DESCRIPTION)
    _check(flags)
    for folder in flags.folders:
        check_json(flags.json, is_own_json(format=FORMAT), "result", folder)

    from pathb_jax.judging.populations import read_populations
    from pathb_jax.judging.power import power
    from pathb_jax.ladder.protocol import load_protocol

    protocol = load_protocol(flags.protocol)
    found = read_populations(flags.folders, protocol)
    rule = protocol.voting.training_seeds, protocol.voting.pass_at_least
    grid = [
        power(
            found.populations,
            protocol.stages,
            rule,
            training_seeds,
            eval_seeds,
            uncertain=flags.uncertain_rates,
        )
        for training_seeds in flags.train_seeds
        for eval_seeds in flags.eval_seeds
        if found.populations
    ]
    every = [*found.populations, *found.others]
    passing = {population.name: _passing(population, protocol, flags) for population in every}
    with json_result(flags.json) as write:
        for line in _lines(found, protocol, flags, passing, grid):
            say(line)
        write(
            {
                "format": FORMAT,
                "protocol": {"name": protocol.name, "sha256": protocol.sha256},
                "uncertain_rates": flags.uncertain_rates,
                "candidates": [
                    {**population._asdict(), "passing": passing[population.name]}
                    for population in every
                ],
                "lacking": found.lacking,
                "departures": found.departures,
                "grid": grid,
            }
        )
    return OK


def _check(flags: PowerFlags) -> None:
    if not flags.folders:
        raise InputError("--from", "(missing)", "give at least one folder")
    limits = {
        "--train-seeds": (flags.train_seeds, MOST_TRAIN_SEEDS),
        "--eval-seeds": (flags.eval_seeds, MOST_EVAL_SEEDS),
    }
    for flag, (given, most) in limits.items():
        if not given or not all(1 <= number <= most for number in given):
            allowed = f"give at least one whole number, each from 1 to {most}"
            raise InputError(flag, list(given), allowed)


def _passing(population: "Population", protocol: "Protocol", flags: PowerFlags) -> dict[int, float]:
    """Return how often one voting seed passes all stages, by seeds a set."""
    from pathb_jax.judging.power import passing_chance

    runs = population.runs
    return {
        seeds: sum(
            passing_chance(run, protocol.stages, seeds, uncertain=flags.uncertain_rates)
            for run in runs
        )
        / len(runs)
        for seeds in flags.eval_seeds
    }


def _lines(
    found: "Found",
    protocol: "Protocol",
    flags: PowerFlags,
    passing: dict[str, dict[int, float]],
    grid: "Sequence[Cell]",
) -> Iterator[str]:
    from pathb_jax.report.markdown import escaped, table_lines

    starts = protocol.stages.seed_starts
    headings = ["candidate", "runs", *(f"success {start}" for start in starts)]
    headings += ["stage 2", "holds", *(f"passes at {seeds}" for seeds in flags.eval_seeds)]
    yield f"One voting seed under {protocol.name}, all stages, by seeds a set:"
    yield ""
    yield from table_lines(
        headings,
        [
            [
                escaped(population.name),
                str(len(population.runs)),
                *_rates(population, starts),
                _mean([run.dynamics for run in population.runs]),
                "yes" if population.holds else "no",
                *(f"{chance:.3f}" for chance in passing[population.name].values()),
            ]
            for population in [*found.populations, *found.others]
        ],
    )
    yield ""
    yield from _remarks(found)
    if grid:
        yield "The whole protocol:"
        yield ""
        yield from table_lines(
            (
                "training seeds",
                "seeds a set",
                "adopts one that holds",
                "adopts one that does not",
                "rejects all",
                "device hours",
                "at most",
            ),
            [
                [
                    f"{cell.training_seeds}, {cell.pass_at_least} to pass",
                    str(cell.eval_seeds),
                    *map(_chance, (cell.adopts_holding, cell.adopts_other, cell.rejects)),
                    f"{cell.hours:.3g}",
                    f"{cell.most_hours:.3g}",
                ]
                for cell in grid
            ],
        )
        yield ""
        yield (
            "Hours are of the candidates' training alone: evaluations, and the "
            f"{len(protocol.batch)} runs of the batch after an adoption, come on top."
        )


def _remarks(found: "Found") -> Iterator[str]:
    """Yield what limits these figures, a line each."""
    if found.departures:
        yield f"The runs are not as the protocol has them: {'; '.join(found.departures)}"
    if found.lacking:
        yield f"No run of {', '.join(found.lacking)}: left out, as if never tried"
    if found.others:
        yield "Runs of no candidate's settings are in the first table alone"
    for population in found.populations:
        if len(population.runs) == 1:
            yield (
                f"{population.name} has one run, which tells nothing of training seeds: its "
                "chances are those of that policy evaluated again, and there are no intervals"
            )


def _rates(population: "Population", starts: Sequence[int]) -> list[str]:
    counts = [run.counts for run in population.runs]
    return [_mean([c[start][0] / c[start][1] if c else 0.0 for c in counts]) for start in starts]


def _mean(numbers: Sequence[float]) -> str:
    return f"{sum(numbers) / len(numbers):.3f}"


def _chance(chance: "Chance") -> str:
    if chance.interval_90 is None:
        return f"{chance.value:.3f}"
    low, high = chance.interval_90
    return f"{chance.value:.3f} [{low:.3f}, {high:.3f}]"
