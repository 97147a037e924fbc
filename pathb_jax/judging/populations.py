"""Finished runs as the candidates of a protocol: who is of which candidate, read from folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pathb_jax.errors import InputError
from pathb_jax.judging.power import Population, RunRates, dynamics_share, holds
from pathb_jax.judging.runs import judge_run
from pathb_jax.ladder.knobs import ChangeTable
from pathb_jax.ladder.protocol import Protocol, deviation
from pathb_jax.ladder.schema import Candidate, PlannedRun
from pathb_jax.runs.manifest import RecordedConfig, read_manifest
from pathb_jax.store.run_files import files_of_run

FLAG = "--from"


class Found(NamedTuple):
    """The runs of some folders, by candidate."""

    populations: list[Population]
    """Of the candidates that have runs, in the protocol's order."""
    others: list[Population]
    """Runs that are no candidate's, named by how they differ from the protocol's defaults."""
    lacking: list[str]
    """Tags of the candidates that have none."""
    departures: list[str]
    """Where the candidates' runs are not the protocol's, "tier: Large -> Small"."""


class _Group(NamedTuple):
    config: RecordedConfig
    runs: list[RunRates]


def read_populations(folders: Sequence[Path], protocol: Protocol) -> Found:
    """Read all runs in some folders, and find the candidates that they are of.

    Args:
        folders: of a run each, or of runs: a ladder's folder, a study's.
        protocol: says the candidates, and by its stages what is read of a run.

    Raises:
        InputError: a folder without a run; a run that is not over, whose files contradict each
            other, or that lacks an evaluation; two kinds of runs for one candidate.
    """
    groups: dict[str, _Group] = {}
    seen = set()
    for folder in (run for given in folders for run in _run_folders(given)):
        if folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        config, rates = _read(folder, protocol)
        groups.setdefault(_kind(config), _Group(config, [])).runs.append(rates)
    populations, lacking, departures = [], [], []
    for candidate in protocol.candidates:
        kinds = [kind for kind, group in groups.items() if _is_of(group, candidate, protocol)]
        if len(kinds) > 1:
            allowed = "its runs are of several kinds (tier, budget or the like); give one kind"
            raise InputError(FLAG, f"candidate {candidate.tag}", allowed)
        if kinds:
            group = groups.pop(kinds[0])
            populations.append(_population(candidate.tag, group, protocol))
            departures += [line for line in _departures(group, protocol) if line not in departures]
        else:
            lacking.append(candidate.tag)
    others = [
        _population("; ".join(_differences(group, protocol)) or "defaults", group, protocol)
        for group in groups.values()
    ]
    return Found(populations, others, lacking, departures)


def _run_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(FLAG, str(folder), "there is no such folder")
    if (folder / "manifests").is_dir():
        return [folder]
    runs = sorted(path.parent for path in folder.glob("*/manifests"))
    if not runs:
        raise InputError(FLAG, str(folder), "give folders of runs, or of a ladder or study")
    return runs


def _read(folder: Path, protocol: Protocol) -> tuple[RecordedConfig, RunRates]:
    run = judge_run(folder, protocol)
    manifest = read_manifest(files_of_run(folder, FLAG))
    hours = manifest.train_seconds / 3600
    if run.diverged is not None:
        return manifest.config, RunRates({}, 0.0, hours)
    for start in protocol.stages.seed_starts:
        if start not in run.counts:
            allowed = f"it was not evaluated on the seeds from {start}, which a stage looks at"
            raise InputError(FLAG, str(folder), allowed)
    return manifest.config, RunRates(
        {start: run.counts[start] for start in protocol.stages.seed_starts},
        dynamics_share(run.history, protocol.stages),
        hours,
    )


def _population(name: str, group: _Group, protocol: Protocol) -> Population:
    return Population(name, group.runs, holds(group.runs, protocol.stages))


def _kind(config: RecordedConfig) -> str:
    """Return what all runs of one kind have in common: every setting of training but the seed."""
    settings = config.settings
    return repr(sorted((name, value) for name, value in settings.items() if name != "seed"))


def _is_of(group: _Group, candidate: Candidate, protocol: Protocol) -> bool:
    """Whether runs have a candidate's reward and all of its knobs."""
    settings = group.config.settings
    knobs = {
        knob: candidate.change.get(knob, protocol.default_of(knob))
        for knob in ChangeTable.__annotations__
    }
    return not {"variant", "mixed_lambda"} & _departing(settings, protocol) and all(
        settings.get(knob) == value for knob, value in knobs.items()
    )


def _departures(group: _Group, protocol: Protocol) -> list[str]:
    """List where runs of a candidate are not as the protocol plans them, seed and label apart."""
    settings = group.config.settings
    departing = _departing(settings, protocol)
    return [
        deviation(name, getattr(protocol.run, name), settings.get(name))
        for name in PlannedRun.model_fields
        if name in departing
    ]


def _departing(settings: Mapping[str, Any], protocol: Protocol) -> set[str]:
    """Return which settings of the protocol's run are others, those that candidates change apart.

    A lambda that the protocol leaves out is the variant's own.
    """
    planned = {name: getattr(protocol.run, name) for name in PlannedRun.model_fields}
    apart = {"label", "seed", *ChangeTable.__annotations__}
    if planned["mixed_lambda"] is None:
        apart.add("mixed_lambda")
    return {
        name for name, value in planned.items() if name not in apart and settings.get(name) != value
    }


def _differences(group: _Group, protocol: Protocol) -> list[str]:
    """List where runs differ from the protocol's with its default knobs."""
    settings = group.config.settings
    return _departures(group, protocol) + [
        deviation(knob, protocol.default_of(knob), settings.get(knob))
        for knob in ChangeTable.__annotations__
        if settings.get(knob) != protocol.default_of(knob)
    ]
