"""The protocol of a ladder: a TOML file, fixed before the run, that holds every deciding number.

`load_protocol` reads it strictly into frozen dataclasses; the metadata of their fields is the table
of what is allowed. See the specification's ladder page ("Honesty rules").
"""

import dataclasses
import hashlib
import re
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pathb_jax.config import SEED_LIMIT, TIERS, VARIANTS, SensorTier
from pathb_jax.errors import InputError

SHIPPED_SHA256 = {
    "path_b": "bf65ad9983455d68114a754086baf5d61dc9206d3ba6167d3f91b72737a0e2d4",
}
"""Name -> SHA-256 (over LF line ends) of the protocols that ship with the package."""

_MIXED_VARIANTS = {name for name, variant in VARIANTS.items() if variant.family == "L-Mixed"}

Standing = Literal["canonical", "registered", "exploratory"]


@dataclasses.dataclass(frozen=True)
class _Range:
    """From `low` to `high`; the ends belong to it unless `above` or `below`."""

    low: float
    high: float
    above: bool = False
    below: bool = False


@dataclasses.dataclass(frozen=True)
class _Text:
    """One line of text: one of `choices`, or like `pattern`."""

    pattern: str = r"\S.*"
    choices: tuple[str, ...] = ()


Text = Annotated[str, _Text()]
Name = Annotated[
    str, _Text(r"[a-z0-9][a-z0-9_]{0,63}")
]  # in folder names: no case, so none coincide
FreshVariant = Annotated[
    str, _Text(choices=tuple(name for name in VARIANTS if not VARIANTS[name].curriculum))
]
Seed = Annotated[int, _Range(0, SEED_LIMIT - 1)]
Count = Annotated[int, _Range(1, 10**9)]
Steps = Annotated[int, _Range(0, 10**15)]
Rate = Annotated[float, _Range(0, 1)]
Alignment = Annotated[float, _Range(-1, 1)]
Figure = Annotated[float, _Range(-1e6, 1e6)]
Loss = Annotated[float, _Range(0, 1e12)]
Hours = Annotated[float, _Range(0, 1e6)]
Weight = Annotated[float, _Range(0, 100)]
Lambda = Annotated[float, _Range(0, 1, above=True, below=True)]


@dataclasses.dataclass(frozen=True)
class Run:
    """The configuration that every candidate shares. Names are those of the training flags."""

    label: Name
    variant: FreshVariant
    tier: Annotated[str, _Text(choices=tuple(TIERS))]
    sensor_tier: Annotated[str, _Text(choices=typing.get_args(SensorTier))]
    updates: Count
    seed: Seed
    batch_envs: Annotated[int, _Range(1, 2**20)]
    rollout_length: Annotated[int, _Range(1, 2**20)]
    minibatch_size: Annotated[int, _Range(1, 2**30)]
    epochs: Annotated[int, _Range(1, 1000)]
    seed_start: Seed
    log_std_init: Annotated[float, _Range(-20, 5)]
    mixed_lambda: Lambda | None = None

    @property
    def env_steps(self) -> int:
        """Environment steps of the whole run."""
        return self.updates * self.batch_envs * self.rollout_length


@dataclasses.dataclass(frozen=True)
class Knobs:
    """Hyper-parameters at their defaults; a candidate may change any of them."""

    lr: Annotated[float, _Range(0, 10, above=True)]
    gamma: Rate
    gae_lambda: Rate
    clip_range: Annotated[float, _Range(0, 100, above=True)]
    entropy_coef: Weight
    value_coef: Weight
    max_grad_norm: Annotated[float, _Range(0, 1e6, above=True)]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One candidate: `change` maps a knob to its value."""

    order: Annotated[int, _Range(1, 1000)]
    tag: Name
    change: Mapping[str, float]
    why: Text
    if_it_fails: Text


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Seeds per evaluation set, and the set that informs and does not vote."""

    seeds: Annotated[int, _Range(1, 2**20)]
    third_seed_start: Seed


@dataclasses.dataclass(frozen=True)
class SuccessFloor:
    """Stage 1: success rate on the set at `seed_start` of at least `threshold`."""

    seed_start: Seed
    threshold: Rate


@dataclasses.dataclass(frozen=True)
class TrainingDynamics:
    """Stage 2: the last `window` history rows."""

    window: Annotated[int, _Range(2, 10**9)]
    entropy_below: Figure
    log_std_rise_at_most: Figure
    value_loss_at_most: Loss


@dataclasses.dataclass(frozen=True)
class SeedShift:
    """Stage 3: success on the set at `seed_start` against stage 1's."""

    seed_start: Seed
    difference_at_most: Rate


@dataclasses.dataclass(frozen=True)
class Stages:
    """The acceptance stages, in their order."""

    success_floor: SuccessFloor
    training_dynamics: TrainingDynamics
    seed_shift: SeedShift


@dataclasses.dataclass(frozen=True)
class FailureModes:
    """The table of failure modes (rules: `failure_modes.classify`)."""

    bootstrap_alignment_below: Alignment
    critic_window_divisor: Count
    critic_window_at_least: Annotated[int, _Range(2, 10**9)]
    critic_log_std_rise_at_least: Figure
    critic_value_loss_at_least: Loss
    critic_reward_rows: Count
    critic_reward_fall_at_least: Figure
    collapse_alignment_at_least: Alignment
    collapse_log_std_at_most: Figure
    under_budget_alignment_gain_at_least: Annotated[float, _Range(-2, 2)]
    healthy_success_at_least: Rate


@dataclasses.dataclass(frozen=True)
class Prediction:
    """`candidate` (a tag, or "first") clears `stage`."""

    id: Annotated[str, _Text(r"[A-Za-z0-9]{1,16}")]
    candidate: Name
    stage: Annotated[int, _Range(1, 3)]
    prediction: Text
    falsified_if: Text
    then: Text


@dataclasses.dataclass(frozen=True)
class BatchRun:
    """A run that follows an adoption."""

    label: Name
    variant: FreshVariant
    mixed_lambda: Lambda | None = None


@dataclasses.dataclass(frozen=True)
class Rejection:
    """What the rejection of all candidates says."""

    finding: Text
    code_changes: tuple[Text, ...]


@dataclasses.dataclass(frozen=True)
class Compute:
    """Hours stated before the run: after 1, 2, ... candidates; for the batch on top."""

    candidate_hours: tuple[Hours, ...]
    batch_hours: Hours


@dataclasses.dataclass(frozen=True)
class Segment:
    """One segment of Path A, as published."""

    segment: Name
    env_steps: Steps
    success_rate: Rate
    mean_terminal_alignment: Alignment
    mean_steps: Hours
    entropy: Figure
    log_std: Figure


@dataclasses.dataclass(frozen=True)
class PathA:
    """Default hyper-parameters, and the best state seen."""

    best: Name
    segments: tuple[Segment, ...]


@dataclasses.dataclass(frozen=True)
class ProgrammeRun:
    """What the programme found for one run, to be compared with."""

    run: Name
    env_steps: Steps
    success_rate: Rate
    mean_terminal_alignment: Alignment
    remark: Text


@dataclasses.dataclass(frozen=True)
class Content:
    """The fields of a protocol file."""

    name: Name
    run: Run
    hparams: Knobs
    candidates: tuple[Candidate, ...]
    evaluation: Evaluation
    stages: Stages
    failure_modes: FailureModes
    predictions: tuple[Prediction, ...]
    batch: tuple[BatchRun, ...]
    rejection: Rejection
    compute: Compute
    path_a: PathA
    programme: tuple[ProgrammeRun, ...]


@dataclasses.dataclass(frozen=True)
class Protocol(Content):
    """A protocol file as read: its fields, its name on disk, its text and what identifies it."""

    file: str
    text: str
    sha256: str

    @property
    def seed_sets(self) -> tuple[int, int, int]:
        """First seeds of the evaluation sets: stage 1's, stage 3's and the third, clean one."""
        stages = self.stages
        starts = stages.success_floor.seed_start, stages.seed_shift.seed_start
        return *starts, self.evaluation.third_seed_start

    def hparams_of(self, candidate: Candidate) -> dict[str, float]:
        """Return all hyper-parameters of `candidate`: the defaults with its change."""
        return {**dataclasses.asdict(self.hparams), **candidate.change}


def run_label(stem: str, tag: str) -> str:
    """Return the run label, also the folder's name, of `stem` (run or batch label) and `tag`."""
    return f"{stem}_pathb_{tag}"


def load_protocol(name_or_path: str | Path) -> Protocol:
    """Read a shipped protocol by its name, or a protocol file by its path.

    Raises:
        InputError: no such protocol, not readable, not UTF-8, not TOML, or a field that is missing,
            unknown, ill-typed or out of range; the message names the field.
    """
    if name_or_path in SHIPPED_SHA256:
        file = f"{name_or_path}.toml"
        data = (resources.files("pathb_jax") / "protocols" / file).read_bytes()
        return parse_protocol(data, file)
    path = Path(name_or_path)
    allowed = f"give a shipped protocol ({', '.join(SHIPPED_SHA256)}) or the path of a TOML file"
    try:
        if not path.is_file():  # a device or a pipe might never end
            raise InputError("--protocol", str(name_or_path), allowed)
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("--protocol", str(name_or_path), f"{allowed} ({error})") from None
    return parse_protocol(data, path.name)


def parse_protocol(data: bytes, file: str) -> Protocol:
    """Read a protocol from the bytes of its file; `file` names it in messages and records.

    Raises:
        InputError: as `load_protocol`.
    """
    root = f"protocol {file}: "
    data = data.replace(b"\r\n", b"\n")
    try:
        text = data.decode()
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"protocol {file}", str(error)[:200], "give UTF-8 text in TOML") from None
    content: Content = _table(Content, table, root)
    _check_run(content, root)
    _check_candidates(content, root)
    _check_seed_sets(content, root)
    _check_references(content, root)
    fields = {field.name: getattr(content, field.name) for field in dataclasses.fields(content)}
    fields["candidates"] = tuple(sorted(content.candidates, key=lambda c: c.order))
    return Protocol(**fields, file=file, text=text, sha256=hashlib.sha256(data).hexdigest())


def is_shipped(protocol: Protocol) -> bool:
    """Say whether the protocol is one that ships with the package, unchanged."""
    return protocol.sha256 in SHIPPED_SHA256.values()


def protocol_differences(old: Protocol, new: Protocol) -> list[str]:
    """Return what changed as "field: old -> new"; empty only if the two files are the same."""
    before, after = _flat(old), _flat(new)
    differences = [
        deviation(name, before.get(name, "(absent)"), after.get(name, "(absent)"))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]
    if not differences and old.sha256 != new.sha256:
        differences = [f"comments and layout: sha256 {old.sha256[:12]} -> {new.sha256[:12]}"]
    return differences


def deviation(field: str, old: object, new: object) -> str:
    """Return one line of the record's list of deviations, "tier: Large -> Small"."""
    return f"{field}: {old} -> {new}"


def planned_run(
    protocol: Protocol,
    *,
    tier: str | None = None,
    updates: int | None = None,
    seed: int | None = None,
) -> Run:
    """Return the protocol's run with what was asked by flags in its place (None: as pinned).

    Raises:
        InputError: a value that the protocol file might not hold either, or fewer updates than
            stage 2's window.
    """
    asked = {"tier": tier, "updates": updates, "seed": seed}
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    kinds = typing.get_type_hints(Run, include_extras=True)
    for name, value in changes.items():
        _value(value, kinds[name], f"--{name}")
    run = dataclasses.replace(protocol.run, **changes)
    _check_updates(run.updates, protocol.stages.training_dynamics.window, "--updates")
    return run


def plan_deviations(protocol: Protocol, run: Run) -> list[str]:
    """Return where `run` departs from the protocol's, one line per field."""
    names = [field.name for field in dataclasses.fields(Run)]
    pairs = [(name, getattr(protocol.run, name), getattr(run, name)) for name in names]
    return [deviation(name, old, new) for name, old, new in pairs if old != new]


def standing(protocol: Protocol, deviations: Sequence[str]) -> Standing:
    """Return what a verdict under `protocol` with `deviations` is worth (honesty rules)."""
    if deviations:
        return "exploratory"
    return "canonical" if is_shipped(protocol) else "registered"


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    """Return `{dotted name: leaf}` of nested dataclasses, mappings and tuples."""
    if isinstance(value, Content):
        items = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(Content)]
    elif dataclasses.is_dataclass(value):
        items = list(vars(value).items())
    elif isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, tuple):
        items = [(str(index), item) for index, item in enumerate(value)]
    else:
        return {prefix: value}
    flat: dict[str, object] = {}
    for name, item in items:
        flat |= _flat(item, f"{prefix}.{name}" if prefix else name)
    return flat


def _at(where: str, name: str) -> str:
    return where + name if where.endswith(" ") else f"{where}.{name}"


def _table(cls: type, table: object, where: str) -> Any:
    """Build the dataclass `cls` from a TOML table; nothing missing, nothing unknown."""
    if not isinstance(table, dict):
        raise InputError(where, _shown(table), "a table is required")
    kinds = typing.get_type_hints(cls, include_extras=True)
    _check_known(table, list(kinds), where)
    values = {}
    for field in dataclasses.fields(cls):
        at = _at(where, field.name)
        if field.name in table:
            values[field.name] = _value(table[field.name], kinds[field.name], at)
        elif field.default is dataclasses.MISSING:
            raise InputError(at, "(missing)", "the field is required")
    return cls(**values)


def _check_known(table: dict[str, Any], known: Sequence[str], where: str) -> None:
    for name, value in table.items():
        if name not in known:
            allowed = f"there is no such field; known are {', '.join(known)}"
            raise InputError(_at(where, name), _shown(value), allowed)


def _value(value: Any, kind: Any, where: str) -> Any:
    """Return `value` as the annotation `kind` wants it."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):  # "or None" stands for an absent field
        return _value(value, parts[0], where)
    if origin is tuple:
        if not isinstance(value, list):
            raise InputError(where, _shown(value), "an array is required")
        return tuple(_value(item, parts[0], f"{where}[{i}]") for i, item in enumerate(value))
    if dataclasses.is_dataclass(kind):
        return _table(typing.cast(type, kind), value, where)
    if kind == Mapping[str, float]:
        return _change(value, where)
    base, limits = parts
    return _text(value, limits, where) if base is str else _number(value, base, limits, where)


def _change(value: Any, where: str) -> dict[str, float]:
    """Return a table of some of the knobs."""
    if not isinstance(value, dict):
        raise InputError(where, _shown(value), "a table of hyper-parameters is required")
    kinds = typing.get_type_hints(Knobs, include_extras=True)
    _check_known(value, list(kinds), where)
    return {knob: _value(value[knob], kinds[knob], _at(where, knob)) for knob in value}


def _text(value: Any, limits: _Text, where: str) -> str:
    if limits.choices:
        if value not in limits.choices:
            raise InputError(where, _shown(value), f"choose one of {', '.join(limits.choices)}")
        return str(value)
    if not isinstance(value, str) or len(value) > 1000 or not re.fullmatch(limits.pattern, value):
        allowed = f"give text like {limits.pattern}"
        if limits == _Text():
            allowed = "give one line of text, of at most 1000 characters"
        raise InputError(where, _shown(value), allowed)
    return value


def _number(value: Any, base: type, limits: _Range, where: str) -> Any:
    right_type = isinstance(value, int if base is int else int | float)
    inside = right_type and not isinstance(value, bool) and limits.low <= value <= limits.high
    at_end = (limits.above and value == limits.low) or (limits.below and value == limits.high)
    if not inside or at_end:  # nan is not inside
        low = f"{'>' if limits.above else '>='} {limits.low:.10g}"
        high = f"{'<' if limits.below else '<='} {limits.high:.10g}"
        kind = "a whole number" if base is int else "a number"
        raise InputError(where, _shown(value), f"give {kind} {low} and {high}")
    return base(value)


def _shown(value: object) -> object:
    """Return what a message may show of `value`: itself, or the start of something long."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return "(a number of more than 30 digits)"
    text = str(value)
    return value if len(text) <= 60 else text[:60] + "..."


def _check_run(content: Content, root: str) -> None:
    run = content.run
    window = content.stages.training_dynamics.window
    _check_updates(run.updates, window, f"{root}run.updates")
    batch_size = run.batch_envs * run.rollout_length
    if batch_size % run.minibatch_size:
        allowed = f"it must divide batch_envs x rollout_length = {batch_size}"
        raise InputError(f"{root}run.minibatch_size", run.minibatch_size, allowed)
    labelled: list[tuple[str, Run | BatchRun]] = [("run", run)]
    labelled += [(f"batch[{index}]", item) for index, item in enumerate(content.batch)]
    _check_distinct([(f"{root}{at}.label", item.label) for at, item in labelled])
    for at, item in labelled:
        mixes = item.variant in _MIXED_VARIANTS
        if mixes != (item.mixed_lambda is not None):
            value = "(missing)" if mixes else item.mixed_lambda
            allowed = (
                f"variant {item.variant} {'needs it' if mixes else 'mixes nothing: leave it out'}"
            )
            raise InputError(f"{root}{at}.mixed_lambda", value, allowed)


def _check_updates(updates: int, window: int, where: str) -> None:
    if updates < window:
        raise InputError(where, updates, f"give at least {window}, the window of stage 2")


def _check_distinct(pairs: Sequence[tuple[str, object]]) -> None:
    seen: set[object] = set()
    for where, value in pairs:
        if value in seen:
            raise InputError(where, value, "it is there twice")
        seen.add(value)


def _check_candidates(content: Content, root: str) -> None:
    where = [f"{root}candidates[{index}]" for index in range(len(content.candidates))]
    if not where:
        raise InputError(f"{root}candidates", [], "give at least one")
    named = list(zip(where, content.candidates, strict=True))
    _check_distinct([(f"{at}.order", candidate.order) for at, candidate in named])
    _check_distinct([(f"{at}.tag", candidate.tag) for at, candidate in named])
    defaults = dataclasses.asdict(content.hparams)
    for at, candidate in named:
        if not candidate.change:
            raise InputError(f"{at}.change", {}, "a candidate changes at least one knob")
        for knob, value in candidate.change.items():
            if value == defaults[knob]:
                raise InputError(f"{at}.change.{knob}", value, "that is the default: no change")


def _check_seed_sets(content: Content, root: str) -> None:
    """The evaluation sets must not share seeds, and seeds must fit 32 bits."""
    stages, count = content.stages, content.evaluation.seeds
    sets = [
        ("stages.success_floor.seed_start", stages.success_floor.seed_start),
        ("stages.seed_shift.seed_start", stages.seed_shift.seed_start),
        ("evaluation.third_seed_start", content.evaluation.third_seed_start),
    ]
    for index, (name, start) in enumerate(sets):
        if any(abs(start - other) < count for _, other in sets[:index]):
            raise InputError(root + name, start, "its seeds are partly another set's")
    sizes = [(*item, count) for item in sets]
    for name, start, size in [
        *sizes,
        ("run.seed_start", content.run.seed_start, content.run.batch_envs),
    ]:
        if start + size > SEED_LIMIT:
            raise InputError(root + name, start, f"give at most {SEED_LIMIT - size}")


def _check_references(content: Content, root: str) -> None:
    """What names something else in the file must name something that is there."""
    tags = [candidate.tag for candidate in content.candidates]
    _check_distinct(
        [(f"{root}predictions[{i}].id", p.id) for i, p in enumerate(content.predictions)]
    )
    for index, prediction in enumerate(content.predictions):
        if prediction.candidate not in [*tags, "first"]:
            where = f"{root}predictions[{index}].candidate"
            raise InputError(where, prediction.candidate, f"choose a tag of {tags}, or first")
    if len(content.compute.candidate_hours) != len(tags):
        hours = list(content.compute.candidate_hours)
        where = f"{root}compute.candidate_hours"
        raise InputError(where, hours, f"give one number per candidate: {len(tags)}")
    segments = [segment.segment for segment in content.path_a.segments]
    if content.path_a.best not in segments:
        raise InputError(f"{root}path_a.best", content.path_a.best, f"choose one of {segments}")
