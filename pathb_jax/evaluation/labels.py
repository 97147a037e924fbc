"""What a policy steers by, told from its battery figures by a table of thresholds.

Source: docs/spec/battery.md. Numbers in, a label out; no JAX.
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

Label = Literal[
    "field-coupled",
    "field-coupled, under budget",
    "bootstrap-collapse",
    "reward-coupled",
    "undertrained",
    "ambiguous",
]


class Thresholds(NamedTuple):
    """Every number that decides a label."""

    old_basin: float = 1.0
    """From this old_basin_preference on a policy goes for the old basin."""
    old_basin_under_budget: float = 3.0
    """What a policy under budget has to be below."""
    sensor_response: float = 0.3
    """From this response to the signature-sensor edit on a policy uses the samples."""
    aligned: float = 0.85
    """From this alignment on it gets to the goal."""
    success: float = 0.40
    """Below this success rate it is under budget."""
    no_response: float = 0.01
    """A response below this is none."""
    undertrained: float = 0.70
    """Below this alignment it does not get near the goal."""


THRESHOLDS = Thresholds()


class LabelFigures(NamedTuple):
    """What a label is told from: means over seeds."""

    success_rate: float
    """Without an edit."""
    alignment: float
    """Without an edit."""
    old_basin_preference: float
    """Of the basin-position edit."""
    responses: Mapping[str, float]
    """action_response_L2 by channel; NaN where no pair had one."""

    @property
    def sensor_response(self) -> float:
        """action_response_L2 of the signature-sensor edit."""
        return self.responses["signature-sensor"]


def label(figures: LabelFigures) -> Label:
    """Return the first label of the specification's table whose rule holds.

    Without a response to the signature-sensor edit (NaN) nothing can be told: ambiguous.
    """
    t, success, alignment = THRESHOLDS, figures.success_rate, figures.alignment
    preference, sensor = figures.old_basin_preference, figures.sensor_response
    old_basin, senses = preference >= t.old_basin, sensor >= t.sensor_response
    if math.isnan(sensor):
        return "ambiguous"
    if not old_basin and senses and alignment >= t.aligned:
        return "field-coupled"
    if senses and success < t.success and preference < t.old_basin_under_budget:
        return "field-coupled, under budget"
    if old_basin and all(response < t.no_response for response in figures.responses.values()):
        return "bootstrap-collapse"
    if old_basin and not senses:
        return "reward-coupled"
    if alignment < t.undertrained and not old_basin:
        return "undertrained"
    return "ambiguous"
