"""Figures along any runs, with bands over training seeds: read from files alone."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from pathb_jax.config import (
    VARIANTS,
    EvaluationConfig,
    Hparams,
    ScheduleConfig,
    TaskConfig,
    TrainConfig,
)
from pathb_jax.runs.manifest import RunManifest, read_manifest
from pathb_jax.store.artifacts import read_evaluations, read_history
from pathb_jax.store.measures import ALIGNMENT, RETURN, measure_of
from pathb_jax.store.run_files import RunFiles, runs_below
from pathb_jax.text import visible

FigureName = Literal[
    "success",
    "alignment",
    "return",
    "reward",
    "value_loss",
    "entropy",
    "log_std",
    "approx_kl",
    "clip_frac",
    "explained_variance",
]
EVALUATED: dict[FigureName, str] = {
    "success": "success_rate",
    "alignment": ALIGNMENT.mean,
    "return": RETURN.mean,
}
"""Figures of evaluations during the run, with their columns. The others are the history's."""

MEASURED: tuple[FigureName, FigureName] = ("alignment", "return")
"""Of these a run tells one."""

SMOOTHING = 25
"""Figures of the history are running means over one of so many parts of it."""
LEAST_SMOOTHED = 5
"""Updates of a running mean, at least."""
POINTS = 100
"""Of a curve, at most."""
QUARTILES_FROM = 4
"""Training seeds from which on a band is the interquartile range."""


class RunOfCurve(NamedTuple):
    """One run that a curve is made of."""

    folder: Path
    seed: int | None
    status: str
    env_steps: int
    """Of its last row."""


class Band(NamedTuple):
    """A figure along the runs of a curve, at points of equal environment steps."""

    env_steps: list[int]
    runs: list[int]
    """How many of them got that far."""
    median: list[float]
    low: list[float]
    high: list[float]


class Curve(NamedTuple):
    """Runs that differ in their training seed alone."""

    label: str
    """How they differ from the other curves'."""
    band: str
    """What lies between low and high: interquartile, min-max, or none of a single run."""
    runs: list[RunOfCurve]
    figures: dict[FigureName, Band]


class _Run(NamedTuple):
    given: Path
    """The folder that it was found in."""
    files: RunFiles
    manifest: RunManifest
    settings: dict[str, Any]
    figures: dict[FigureName, tuple[np.ndarray, np.ndarray]]
    """Environment steps and values, finite ones."""

    @property
    def env_steps(self) -> int:
        """How far its figures go."""
        return max((int(steps[-1]) for steps, _ in self.figures.values() if len(steps)), default=0)


def read_curves(folders: Sequence[Path], figures: Sequence[FigureName]) -> list[Curve]:
    """Read runs, finished or not, and put those of equal settings together.

    Settings are those of task, training, hyper-parameters and schedule, what the run goes on from,
    and the evaluation set. A second run of one seed begins another curve.

    Args:
        folders: of a run each, or of runs: a ladder's folder, a study's.
        figures: what is read; at each point, the median and the band over the runs that got there.
            Alignment or return is left out where no run tells it.

    Raises:
        InputError: no run, or a broken file.
    """
    groups: dict[tuple[str, int], list[_Run]] = collections.defaultdict(list)
    begun: collections.Counter[tuple[str, str]] = collections.Counter()
    seen = set()
    for given in folders:
        for files in runs_below(given, "DIR..."):
            if (key := (files.out.resolve(), files.slug)) in seen:
                continue
            seen.add(key)
            run = _read(given, files, figures)
            kind = repr(sorted(run.settings.items()))
            seed = repr(run.manifest.config.settings.get("seed"))
            groups[kind, begun[kind, seed]].append(run)
            begun[kind, seed] += 1
    told = {name for runs in groups.values() for run in runs for name in _told(run.manifest)}
    figures = [name for name in figures if name in told]
    labels = _labels(list(groups.values()))
    return [_curve(*both, figures) for both in zip(labels, groups.values(), strict=True)]


def _told(manifest: RunManifest) -> list[FigureName]:
    """Return the figures that a run tells."""
    mean = measure_of(manifest.config.train.get("env")).mean
    return [
        name for name in get_args(FigureName) if name not in MEASURED or EVALUATED[name] == mean
    ]


def _read(given: Path, files: RunFiles, figures: Sequence[FigureName]) -> _Run:
    manifest = read_manifest(files)
    history = read_history(files.history) if files.history.exists() else {}
    found, wanted = {}, set(figures) & set(_told(manifest))
    if files.evaluations.exists() and EVALUATED.keys() & wanted:
        rows = read_evaluations(files.evaluations)
        evaluation = manifest.config.evaluation
        own = (rows["seed_start"] == evaluation.eval_seed_start[0]) & (
            rows["seeds"] == evaluation.eval_seeds
        )
        evaluated = {name: column[own] for name, column in rows.items()}
        for name in EVALUATED.keys() & wanted:
            found[name] = _finite(evaluated["env_steps"], evaluated[EVALUATED[name]])
    if history:
        for name in wanted - EVALUATED.keys():
            column = history["mean_reward" if name == "reward" else name]
            found[name] = _smooth(*_finite(history["env_steps"], column))
    return _Run(given, files, manifest, _settings(manifest), found)


def _finite(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    good = np.isfinite(values)
    return steps[good], values[good].astype(float)


def _smooth(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.ndimage import uniform_filter1d  # takes a second

    if not len(values):
        return steps, values
    window = max(LEAST_SMOOTHED, len(values) // SMOOTHING)
    return steps, uniform_filter1d(values, window, mode="nearest")


_DEFAULTS: dict[str, Any] = {
    field.name: field.default
    for group in (TaskConfig, TrainConfig, Hparams, ScheduleConfig)
    for field in dataclasses.fields(group)
    if field.default is not dataclasses.MISSING
} | {
    "load_checkpoint": None,
    "eval_seed_start": EvaluationConfig().eval_seed_start[0],
    "eval_seeds": EvaluationConfig().eval_seeds,
}


def _settings(manifest: RunManifest) -> dict[str, Any]:
    """Return what makes runs alike but for their seed; what a manifest lacks is as by default."""
    config = manifest.config
    own = {
        "load_checkpoint": config.output.get("load_checkpoint"),
        "eval_seed_start": config.evaluation.eval_seed_start[0],
        "eval_seeds": config.evaluation.eval_seeds,
    }
    settings = {"variant": None, **_DEFAULTS, **config.settings, **own}
    del settings["seed"]
    return settings


def _labels(groups: Sequence[Sequence[_Run]]) -> list[str]:
    """Name curves by their settings that are not all equal, those of them that are no default."""
    settings = [runs[0].settings for runs in groups]
    names = list(dict.fromkeys(name for of_one in settings for name in of_one))
    differing = [name for name in names if len({repr(of_one.get(name)) for of_one in settings}) > 1]
    labels = [_label(of_one, differing) for of_one in settings]
    places = [str(runs[0].given) for runs in groups]
    if len(set(zip(labels, places, strict=True))) < len(groups):
        places = [str(runs[0].files.out) for runs in groups]
    return [
        visible(f"{label} ({place})" if labels.count(label) > 1 else label)
        for label, place in zip(labels, places, strict=True)
    ]


def _label(settings: Mapping[str, Any], differing: Sequence[str]) -> str:
    if not differing:
        task = settings.get("env") or settings.get("variant")
        return f"{task}, {settings.get('tier')}"
    default = _DEFAULTS
    for name, variant in VARIANTS.items():
        if settings["variant"] == name:
            own = {"mixed_lambda": variant.mixed_lambda, "signature_shape": variant.signature_shape}
            default = _DEFAULTS | own
    told = [
        _shown(name, settings.get(name))
        for name in differing
        if len(differing) == 1 or name not in default or settings.get(name) != default[name]
    ]
    return ", ".join(told) or "defaults"


def _shown(name: str, value: Any) -> str:
    if name == "load_checkpoint":
        value = Path(str(value)).name if value else "none"
    value = "off" if value is None else value
    return str(value) if name in ("variant", "tier") else f"{name} {value}"


def _curve(label: str, runs: Sequence[_Run], figures: Sequence[FigureName]) -> Curve:
    band = "interquartile" if len(runs) >= QUARTILES_FROM else "min-max"
    found = {name: [run.figures[name] for run in runs if name in run.figures] for name in figures}
    return Curve(
        label=label,
        band=band if len(runs) > 1 else "none",
        runs=[
            RunOfCurve(
                folder=run.files.out,
                seed=run.manifest.config.settings.get("seed"),
                status=run.manifest.status,
                env_steps=run.env_steps,
            )
            for run in runs
        ],
        figures={name: _band(tracks, band) for name, tracks in found.items()},
    )


def _band(tracks: Sequence[tuple[np.ndarray, np.ndarray]], band: str) -> Band:
    """Put runs side by side at their points, each read between its own first and last."""
    tracks = [track for track in tracks if len(track[0])]
    if not tracks:
        return Band([], [], [], [], [])
    steps = np.unique(np.concatenate([steps for steps, _ in tracks]))
    chosen = np.linspace(0, len(steps) - 1, min(len(steps), POINTS)).round().astype(int)
    steps = steps[chosen]
    rows = np.array([np.interp(steps, *track, left=np.nan, right=np.nan) for track in tracks])
    ends = (0.25, 0.5, 0.75) if band == "interquartile" else (0.0, 0.5, 1.0)
    low, median, high = np.nanquantile(rows, ends, axis=0)
    there = np.isfinite(rows).sum(axis=0)
    return Band(*(column.tolist() for column in (steps, there, median, low, high)))
