"""Labels at every threshold, and in the specification's order."""

import math

import pytest

from pathb_jax.evaluation.channels import CHANNELS
from pathb_jax.evaluation.labels import LabelFigures, label

JUST = 1e-9


def told(success=0.5, alignment=0.9, preference=0.0, sensor=0.5, others=0.2):
    responses = dict.fromkeys(CHANNELS, others) | {"signature-sensor": sensor}
    return label(LabelFigures(success, alignment, preference, responses))


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({}, "field-coupled"),
        ({"alignment": 0.85, "sensor": 0.3, "preference": 1 - JUST}, "field-coupled"),
        ({"alignment": 0.85 - JUST}, "ambiguous"),
        ({"sensor": 0.3 - JUST}, "ambiguous"),
        ({"preference": 1.0}, "ambiguous"),
        # under budget: the alignment does not matter, the success does
        ({"success": 0.4 - JUST, "preference": 1.0}, "field-coupled, under budget"),
        ({"success": 0.4 - JUST, "preference": 3 - JUST}, "field-coupled, under budget"),
        ({"success": 0.4 - JUST, "preference": 3.0}, "ambiguous"),
        ({"success": 0.4, "preference": 1.0}, "ambiguous"),
        ({"success": 0.1, "alignment": 0.2, "sensor": 0.3}, "field-coupled, under budget"),
        ({"success": 0.1}, "field-coupled"),  # it comes first
        # collapse comes before reward-coupled
        ({"preference": 1.0, "sensor": 0.01 - JUST, "others": 0.0}, "bootstrap-collapse"),
        ({"preference": 1.0, "sensor": 0.01, "others": 0.0}, "reward-coupled"),
        ({"preference": 1.0, "sensor": 0.0, "others": 0.01}, "reward-coupled"),
        ({"preference": 1.0, "sensor": 0.3 - JUST}, "reward-coupled"),
        ({"preference": 1.0, "sensor": 0.3, "success": 0.4}, "ambiguous"),
        ({"preference": 1 - JUST, "sensor": 0.0, "others": 0.0}, "ambiguous"),
        ({"alignment": 0.7 - JUST, "sensor": 0.0}, "undertrained"),
        ({"alignment": 0.7, "sensor": 0.0}, "ambiguous"),
        ({"alignment": 0.7 - JUST, "success": 0.4}, "undertrained"),
        ({"alignment": 0.7 - JUST, "success": 0.4, "preference": 1.0}, "ambiguous"),
    ],
)
def test_thresholds(figures, expected):
    assert told(**figures) == expected


def test_without_a_sensor_response_nothing_can_be_told():
    for figures in ({"preference": 2.0}, {"alignment": 0.1}, {}):
        assert told(**figures, sensor=math.nan) == "ambiguous"
    # another channel without one is no channel without response
    assert told(preference=2.0, sensor=0.0, others=math.nan) == "reward-coupled"
