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
    borderline: int = 0
    """Episodes whose end hangs on rounding."""

    def problem(self, where: str, what: str) -> None:
        """Note that something does not hold."""
        self.problems.append(_line(f"{where}: {what}"))

    def hold(self, where: str, condition: bool, what: str) -> None:
        """Note `what` unless the condition holds."""
        if not condition:
            self.problem(where, what)

    def same(self, where: str, told: Any, found: Any, tolerance: float = 0.0) -> None:
        """Compare what a file tells with what its sources give; objects and arrays part by part.

        Args:
            where: file and field.
            told: what is to be checked.
            found: what it was recomputed to be.
            tolerance: allowed difference of numbers, times the larger of 1 and their size.
        """
        if isinstance(found, Mapping) and isinstance(told, Mapping):
            for name in {**found, **told}:
                part = f"{where}.{name}"
                self.same(part, told.get(name, MISSING), found.get(name, MISSING), tolerance)
            return
        if _is_list(found) and _is_list(told) and len(found) == len(told):
            for index, (left, right) in enumerate(zip(told, found, strict=True)):
                self.same(f"{where}[{index}]", left, right, tolerance)
            return
        self.figures += 1
        if _equal(told, found, tolerance):
            self.reproduced += 1
        else:
            self.problem(where, f"{told!r} is told, {found!r} is found")

    def verification(self, said: Mapping[str, str]) -> Verification:
        """Return the outcome."""
        return Verification(self.figures, self.reproduced, list(self.problems), dict(said))


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _equal(told: Any, found: Any, tolerance: float) -> bool:
    numbers = [
        value
        for value in (told, found)
        if isinstance(value, int | float) and value is not True and value is not False
    ]
    if len(numbers) < 2:
        return type(told) is type(found) and bool(told == found)
    if not all(map(math.isfinite, numbers)):
        return False
    return abs(told - found) <= tolerance * max(1.0, abs(told), abs(found))


def _line(text: str) -> str:
    """Return text as one line without signs that a terminal would obey."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
    return shown if len(shown) <= 300 else shown[:300] + "..."
