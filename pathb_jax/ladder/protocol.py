"""The protocol of a ladder: a TOML file, fixed before the run, that holds every deciding number.

`load_protocol` reads it. schema.py says what is allowed field by field; what has to hold across
fields is here. See docs/spec/ladder.md ("Rules of honesty").
"""

import dataclasses
import hashlib
import tomllib
import typing
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pathb_jax.config import SEED_LIMIT, VARIANTS
from pathb_jax.errors import InputError
from pathb_jax.ladder.schema import (
    BatchRun,
    Candidate,
    Content,
    PathA,
    ProgrammeRun,
    Rejection,
    Run,
)
from pathb_jax.ladder.strict_table import read_table, read_value
from pathb_jax.store.json_files import read_bounded

SHIPPED_SHA256 = {
    "path_b": "bf65ad9983455d68114a754086baf5d61dc9206d3ba6167d3f91b72737a0e2d4",
}
"""Name -> SHA-256 (over LF line ends) of the protocols that ship with the package."""

MOST_BYTES = 128 * 2**10
MOST_DOTS = 1000
"""What a protocol file may hold, and a line of it: a key of very many parts takes the parser time
that grows with their square. The shipped file has 9 KiB."""

_MIXED_VARIANTS = {name for name, variant in VARIANTS.items() if variant.family == "L-Mixed"}

Standing = Literal["canonical", "registered", "exploratory"]


@dataclasses.dataclass(frozen=True, kw_only=True)
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

    def tier_of(self, told: PathA | ProgrammeRun | Rejection) -> str | None:
        """Return the tier that something told in the file is about; None where it does not say.

        The shipped file says none (its SHA-256 is fixed) and means that of its run.
        """
        return told.tier or (self.run.tier if is_shipped(self) else None)


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
        data = read_bounded(path, MOST_BYTES)
    except InputError as error:
        raise InputError("--protocol", str(name_or_path), f"{allowed} ({error.allowed})") from None
    except (OSError, ValueError) as error:
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
        if max((line.count(".") for line in text.split("\n")), default=0) > MOST_DOTS:
            raise ValueError(f"a line of more than {MOST_DOTS} dots")
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"protocol {file}", str(error)[:200], "give UTF-8 text in TOML") from None
    content: Content = read_table(Content, table, root)
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
        read_value(value, kinds[name], f"--{name}")
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
        return {} if value is None else {prefix: value}  # None stands for an absent field
    flat: dict[str, object] = {}
    for name, item in items:
        flat |= _flat(item, f"{prefix}.{name}" if prefix else name)
    return flat


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
    if content.compute and len(content.compute.candidate_hours) != len(tags):
        hours = list(content.compute.candidate_hours)
        where = f"{root}compute.candidate_hours"
        raise InputError(where, hours, f"give one number per candidate: {len(tags)}")
    segments = [segment.segment for segment in content.path_a.segments] if content.path_a else []
    if content.path_a and content.path_a.best not in segments:
        raise InputError(f"{root}path_a.best", content.path_a.best, f"choose one of {segments}")
