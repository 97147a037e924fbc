"""The protocol of a ladder: a TOML file, fixed before the run, that holds every deciding number.

`load_protocol` reads it; schema.py says what is allowed. See docs/spec/ladder.md
("Rules of honesty").
"""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pathb_jax.errors import InputError
from pathb_jax.ladder.content import Content
from pathb_jax.ladder.knobs import Knob, knob_text
from pathb_jax.ladder.schema import (
    Candidate,
    PathA,
    PlannedRun,
    ProgrammeRun,
    Rejection,
)
from pathb_jax.store.json_files import read_bounded
from pathb_jax.store.models import parse, to_json
from pathb_jax.store.record_schema import Standing

SHIPPED_SHA256 = {
    "path_b": "bf65ad9983455d68114a754086baf5d61dc9206d3ba6167d3f91b72737a0e2d4",
    "path_b_strict": "f5507057495a08e5a66ba3cf1de9d4b60b39866971fefd58ce96c452b3f1c14c",
}
"""Name -> SHA-256 (over LF line ends) of the protocols that ship with the package."""

MOST_BYTES = 128 * 2**10
MOST_DOTS = 1000
"""What a protocol file may hold, and a line of it: a key of very many parts takes the parser time
that grows with their square. The shipped file has 9 KiB."""


class Protocol(Content):
    """A protocol file as read: its fields, its name on disk, its text and what identifies it."""

    file: str
    text: str
    sha256: str

    @property
    def seed_sets(self) -> tuple[int, ...]:
        """First seeds of the evaluation sets: those of the stages, then the one that informs."""
        third = self.evaluation.third_seed_start
        return *self.stages.seed_starts, *([] if third is None else [third])

    def hparams_of(self, candidate: Candidate) -> dict[str, Knob]:
        """Return the knobs of `candidate`: the protocol's with its change."""
        return {**self.hparams, **candidate.change}

    def change_text(self, change: Mapping[str, Knob]) -> str:
        """Return what a candidate changes, "lr 0.0003 -> 0.0001"."""
        return ", ".join(
            f"{knob} {knob_text(self.default_of(knob))} -> {knob_text(value)}"
            for knob, value in change.items()
        )

    def tier_of(self, part: PathA | ProgrammeRun | Rejection) -> str | None:
        """Return the tier that a part of the file is about; None where it does not say.

        The shipped file says none (its SHA-256 is fixed) and means that of its run.
        """
        return part.tier or (self.run.tier if is_shipped(self) else None)


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
    data = data.replace(b"\r\n", b"\n")
    try:
        text = data.decode()
        if max((line.count(".") for line in text.split("\n")), default=0) > MOST_DOTS:
            raise ValueError(f"a line of more than {MOST_DOTS} dots")
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"protocol {file}", str(error)[:200], "give UTF-8 text in TOML") from None
    content = parse(Content, table, f"protocol {file}: ")
    fields = dict(content) | {
        "candidates": tuple(sorted(content.candidates, key=lambda candidate: candidate.order))
    }
    return Protocol(**fields, file=file, text=text, sha256=hashlib.sha256(data).hexdigest())


def is_shipped(protocol: Protocol) -> bool:
    """Say whether the protocol is one that ships with the package, unchanged."""
    return protocol.sha256 in SHIPPED_SHA256.values()


def protocol_differences(old: Protocol, new: Protocol) -> list[str]:
    """Return what changed as "field: old -> new"; empty only if the two files are the same."""
    before, after = _flat(_content(old)), _flat(_content(new))
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
) -> PlannedRun:
    """Return the protocol's run with what was asked by flags in its place (None: as pinned).

    Raises:
        InputError: a value that the protocol file might not hold either, or fewer updates than
            stage 2's window.
    """
    flags = {"tier": tier, "updates": updates, "seed": seed}
    changes = {name: value for name, value in flags.items() if value is not None}
    run = parse(PlannedRun, to_json(protocol.run) | changes, "--")
    protocol.check_updates(run.updates, "--updates")
    return run


def default_folder(run: PlannedRun) -> Path:
    """Return where a ladder's files go if nothing else is said."""
    if run.env is not None:
        return Path(f"results/{run.label}-{run.tier.lower()}-ladder")
    return Path(f"results/mesa/phase7v2-{run.tier.lower()}-cliff-subset")


def plan_deviations(protocol: Protocol, run: PlannedRun) -> list[str]:
    """Return where `run` departs from the protocol's, one line per field."""
    return [
        deviation(name, old, new)
        for (name, old), (_, new) in zip(protocol.run, run, strict=True)
        if old != new
    ]


def standing(protocol: Protocol, deviations: Sequence[str]) -> Standing:
    """Return what a verdict under `protocol` with `deviations` is worth (honesty rules)."""
    if deviations:
        return "exploratory"
    return "canonical" if is_shipped(protocol) else "registered"


def _content(protocol: Protocol) -> dict[str, Any]:
    return protocol.model_dump(include=set(Content.model_fields), exclude_none=True)


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    """Return `{dotted name: leaf}` of nested dicts and tuples."""
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, tuple):
        items = [(str(index), item) for index, item in enumerate(value)]
    else:
        return {prefix: value}
    flat: dict[str, object] = {}
    for name, item in items:
        flat |= _flat(item, f"{prefix}.{name}" if prefix else name)
    return flat
