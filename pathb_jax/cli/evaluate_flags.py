"""Flags of `evaluate`, and what they may say. Holds no JAX."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pathb_jax.cli.json_result import check_json
from pathb_jax.cli.output_files import check_distinct, check_output
from pathb_jax.config import SEED_LIMIT, Backend, DefaultHint, SensorTier
from pathb_jax.config_checks import FLOAT32_SIZE, is_single
from pathb_jax.errors import InputError
from pathb_jax.store.measures import EVALUATION_COLUMNS
from pathb_jax.store.own_files import is_own_csv, is_own_json, is_own_picture

Channel = Literal[
    "reward", "observation", "signature-sensor", "geometry", "basin-position", "basin-observation"
]


@dataclasses.dataclass(frozen=True)
class SubjectFlags:
    """Who plays: give exactly one."""

    checkpoint: Annotated[Path | None, DefaultHint("none")] = None
    """A run folder (its last checkpoint) or one step's folder."""
    policy: Annotated[Path | None, DefaultHint("none")] = None
    """A policy file, *.policy.json."""
    controller: Annotated[Literal["oracle", "hc-signature"] | None, DefaultHint("none")] = None
    """A reference controller; the oracle plays on the privileged-field tier."""


@dataclasses.dataclass(frozen=True)
class WorldFlags:
    """Where it plays."""

    sensor_tier: Annotated[SensorTier | None, DefaultHint("the subject's own")] = None
    """What is observed."""
    eval_seed_start: tuple[int, ...] = (10000,)
    """First seed of each evaluation set."""
    eval_seeds: int = 32
    """Seeds (episodes) per set."""
    backend: Backend = "auto"
    """Where to compute. Anything but auto must be there: there is no silent fallback."""


@dataclasses.dataclass(frozen=True)
class ProbeFlags:
    """A change of the world before each episode, in this order, then clipped to the arena."""

    probe_rotate: float = 0.0
    """Rotate start and goal about the origin by this angle, in radians."""
    probe_translate: tuple[float, float] = (0.0, 0.0)
    """Move start and goal by this."""
    probe_scale: float = 1.0
    """Scale start, goal and the signature's width by this."""
    probe_mirror: Literal["none", "x", "y"] = "none"
    """Flip the second component (x) or the first (y) of start and goal."""
    probe_delay: Annotated[int | None, DefaultHint("the tier's")] = None
    """Delay of the samples, in steps."""
    probe_decoy: Annotated[tuple[float, float, float] | None, DefaultHint("none")] = None
    """STRENGTH X Y of a bump added to the samples."""
    probe_decoy_decay: Literal["linear", "inv-sq", "gaussian"] = "linear"
    """How the decoy falls off with distance."""


@dataclasses.dataclass(frozen=True)
class EditFlags:
    """A change of one channel from a step on, to the end of the episode."""

    edit_channel: Annotated[Channel | None, DefaultHint("none")] = None
    """What is edited."""
    edit_step: int = 50
    """Time index of the step at whose beginning it takes effect."""
    edit_scale: float = 1.0
    """Reward, signature-sensor: values become scale * value + shift."""
    edit_shift: float = 0.0
    """Reward, signature-sensor: see --edit-scale."""
    edit_point: Annotated[tuple[float, float] | None, DefaultHint("none")] = None
    """Geometry, basin-position, basin-observation: the new place, X Y."""
    edit_mask: tuple[int, ...] = ()
    """Observation: indices of the entries that are replaced."""
    edit_replacement: tuple[float, ...] = ()
    """Observation: what they are replaced by, one number per index."""


@dataclasses.dataclass(frozen=True)
class ReportFlags:
    """What is written beside the table."""

    csv: Annotated[Path | None, DefaultHint("none")] = None
    """Write one row per episode here."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write the sets' summaries here; - is standard output."""
    render: Annotated[Path | None, DefaultHint("none")] = None
    """Draw the first --render-episodes paths of the first set here: a .png or
    an .svg file; a .gif file plays them side by side."""
    render_episodes: int = 16
    """Episodes to draw."""


@dataclasses.dataclass(frozen=True)
class EvaluateFlags:
    """All flags of the command."""

    subject: SubjectFlags = dataclasses.field(default_factory=SubjectFlags)
    world: WorldFlags = dataclasses.field(default_factory=WorldFlags)
    probe: ProbeFlags = dataclasses.field(default_factory=ProbeFlags)
    edit: EditFlags = dataclasses.field(default_factory=EditFlags)
    report: ReportFlags = dataclasses.field(default_factory=ReportFlags)


def check(flags: EvaluateFlags) -> None:
    """Refuse flags that cannot be meant.

    Raises:
        InputError: naming the flag.
    """
    given = [name for name, value in vars(flags.subject).items() if value is not None]
    if len(given) != 1:
        shown = ", ".join(f"--{name}" for name in given) or "none"
        raise InputError(
            "--checkpoint, --policy, --controller", shown, "give exactly one of the three"
        )
    world = flags.world
    for start in world.eval_seed_start:
        if world.eval_seeds < 1 or not 0 <= start <= SEED_LIMIT - world.eval_seeds:
            field, value = ("--eval-seeds", world.eval_seeds)
            if world.eval_seeds >= 1:
                field, value = "--eval-seed-start", start
            raise InputError(field, value, f"seeds are 0..{SEED_LIMIT - 1}, at least one per set")
    if not world.eval_seed_start:
        raise InputError("--eval-seed-start", [], "give at least one first seed")
    if flags.world.sensor_tier not in (None, "privileged-field") and (
        flags.subject.controller == "oracle"
    ):
        raise InputError(
            "--sensor-tier", flags.world.sensor_tier, "the oracle needs privileged-field"
        )
    _check_interventions(flags.probe, flags.edit)
    report = flags.report
    check_distinct({"--csv": report.csv, "--json": report.json, "--render": report.render})
    check_output("--csv", report.csv, is_own_csv(EVALUATION_COLUMNS), "table")
    check_json(report.json, is_own_json("subject", "sets"), "summary")
    if report.render is not None and report.render.suffix not in (".png", ".svg", ".gif"):
        allowed = "give the path of a .png, .svg or .gif file"
        raise InputError("--render", str(report.render), allowed)
    check_output("--render", report.render, is_own_picture, "picture")
    if flags.report.render_episodes < 1:
        raise InputError("--render-episodes", flags.report.render_episodes, "give a number >= 1")


def _check_interventions(probe: ProbeFlags, edit: EditFlags) -> None:
    numbers: dict[str, Sequence[float]] = {
        "--probe-rotate": [probe.probe_rotate],
        "--probe-translate": probe.probe_translate,
        "--probe-decoy": probe.probe_decoy or [],
        "--edit-scale": [edit.edit_scale],
        "--edit-shift": [edit.edit_shift],
        "--edit-point": edit.edit_point or [],
        "--edit-replacement": edit.edit_replacement,
    }
    for flag, values in numbers.items():
        if not all(map(is_single, values)):
            raise InputError(flag, list(values), f"give finite numbers ({FLOAT32_SIZE} or 0)")
    if not (is_single(probe.probe_scale) and probe.probe_scale > 0):
        allowed = f"give a number > 0 ({FLOAT32_SIZE})"
        raise InputError("--probe-scale", probe.probe_scale, allowed)
    if probe.probe_delay is not None and not 0 <= probe.probe_delay <= 1000:
        raise InputError("--probe-delay", probe.probe_delay, "give 0..1000 steps")
    if not 0 <= edit.edit_step < 2**31:
        raise InputError("--edit-step", edit.edit_step, "give a whole number >= 0, below 2^31")
    channel = edit.edit_channel
    if channel in ("geometry", "basin-position") and edit.edit_point is None:
        raise InputError("--edit-point", None, f"an edit of {channel} needs X Y")
    if channel == "basin-observation":
        raise InputError(
            "--edit-channel", channel, "no subject observes the basin; choose another channel"
        )
    if channel == "observation" and not (
        edit.edit_mask and len(edit.edit_mask) == len(edit.edit_replacement)
    ):
        raise InputError(
            "--edit-mask", list(edit.edit_mask), "give indices, and a --edit-replacement for each"
        )
