"""What a verification found: figures compared one by one, problems, and plain statements."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Verification(NamedTuple):
    """The outcome: how many figures were recomputed and agree, and what does not hold."""

    figures: int
    reproduced: int
    problems: list[str]
    """One line each, naming file and field."""
    said: dict[str, str]
    """What else was looked at, such as "registered before the first run": "yes"."""

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the record."""
        return not self.problems

    @property
    def summary(self) -> str:
        """One line: "47 of 47 figures reproduced; registered before the first run: yes; ..."."""
        said = [f"{name}: {text}" for name, text in self.said.items()]
        return "; ".join([f"{self.reproduced} of {self.figures} figures reproduced", *said])


@dataclass
class Findings:
    """Collects comparisons."""

    figures: int = 0
    reproduced: int = 0
    problems: list[str] = field(default_factory=list)
    sets: int = 0
    """Evaluation sets that a policy was there for, and of them those that it gives."""
    replayed: int = 0
    noisy: int = 0
    """Sets that cannot be replayed, for their sensors are noisy."""
    foreign: int = 0
    """Sets of an environment that is not the shadow field: there is no second one to play in."""
    borderline: int = 0
    """Episodes whose end hangs on rounding."""

    def problem(self, where: str, what: str) -> None:
        """Note that something does not hold."""
        self.problems.append(_line(f"{where}: {what}"))

    def hold(self, where: str, condition: bool, what: str) -> None:
        """Note `what` unless the condition holds."""
        if not condition:
            self.problem(where, what)

    def figure(self, where: str, reproduced: bool, what: str) -> None:
        """Count a figure, and note `what` unless it was reproduced."""
        self.figures += 1
        self.reproduced += reproduced
        self.hold(where, reproduced, what)

    def same(self, where: str, recorded: Any, computed: Any, tolerance: float = 0.0) -> None:
        """Compare what a file tells with what its sources give; objects and arrays part by part.

        Args:
            where: file and field.
            recorded: what is to be checked.
            computed: what it was recomputed to be.
            tolerance: allowed difference of numbers, times the larger of 1 and their size.
        """
        if isinstance(computed, Mapping) and isinstance(recorded, Mapping):
            for name in {**computed, **recorded}:
                pair = recorded.get(name, MISSING), computed.get(name, MISSING)
                self.same(f"{where}.{name}", *pair, tolerance)
        elif _is_list(computed) and _is_list(recorded) and len(computed) == len(recorded):
            for index, pair in enumerate(zip(recorded, computed, strict=True)):
                self.same(f"{where}[{index}]", *pair, tolerance)
        else:
            what = f"{recorded!r} is told, {computed!r} is found"
            self.figure(where, _equal(recorded, computed, tolerance), what)

    def verification(self, said: Mapping[str, str]) -> Verification:
        """Return the outcome."""
        return Verification(self.figures, self.reproduced, list(self.problems), dict(said))


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(recorded: Any, computed: Any, tolerance: float) -> bool:
    if not (_is_number(recorded) and _is_number(computed)):
        return type(recorded) is type(computed) and bool(recorded == computed)
    if not (math.isfinite(recorded) and math.isfinite(computed)):
        return False
    return abs(recorded - computed) <= tolerance * max(1.0, abs(recorded), abs(computed))


def _line(text: str) -> str:
    """Return text as one line without signs that a terminal would obey."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
    return shown if len(shown) <= 300 else shown[:300] + "..."
