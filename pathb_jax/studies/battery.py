"""The intervention battery of many policies: figures with intervals, and labels.

Source: docs/spec/battery.md. What is played, and the figures of a pair, are in
`pathb_jax.evaluation.battery`; labels in `pathb_jax.evaluation.labels`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pathb_jax.config import SensorTier
from pathb_jax.envs.shadow_field import MesaShadowField
from pathb_jax.errors import InputError
from pathb_jax.evaluation.battery import Battery, label_figures, play_battery
from pathb_jax.evaluation.channels import CHANNELS, UNSEEN
from pathb_jax.evaluation.labels import Label, label
from pathb_jax.ladder.statistics import CONFIDENCE, clopper_pearson
from pathb_jax.runs import memory
from pathb_jax.runs.subjects import Subject, Training
from pathb_jax.studies.battery_published import Published, published_beside

FLAGS = "--policy, --run"
"""What an error message about a policy blames."""
RESAMPLES = 2000
_BATCH_NUMBERS = 2**22
"""Numbers that a bootstrap draws at a time."""


class Mean(NamedTuple):
    """A mean over seeds; None where there is none."""

    mean: float | None
    interval_95: tuple[float, float] | None
    """Percentile bootstrap over seeds; None with fewer than two."""


class Side(NamedTuple):
    """How the episodes of one side end."""

    success_count: int
    success_rate: float
    success_interval_95: tuple[float, float]
    """Clopper-Pearson's."""
    alignment: Mean
    """Terminal alignment."""


class ChannelFigures(NamedTuple):
    """Pairs of one channel, over seeds."""

    channel: str
    action_response: Mean
    """action_response_L2, of the pairs that have one."""
    left_out: int
    """Pairs of which one episode ends before the edit: they have none."""
    divergence: Mean
    """terminal_position_divergence."""
    preference: Mean
    """old_basin_preference."""
    edited: Side


class PolicyFigures(NamedTuple):
    """What the battery says of one policy."""

    name: str
    training: Training | None
    sensor_tier: str
    seeds: int
    unedited: Side
    channels: list[ChannelFigures]
    """In the order of `CHANNELS`."""
    label: Label
    published: list[Published]
    """Policies of the same tier, reward and lambda."""

    def of(self, channel: str) -> ChannelFigures:
        """Return a channel's figures."""
        return self.channels[CHANNELS.index(channel)]


def check_subjects(subjects: Sequence[Subject], seeds: int) -> None:
    """Refuse what cannot be played, before it is.

    Raises:
        InputError: a policy observes other than its sensor tier shows, or there is no memory for
            so many policies and seeds.
    """
    memory.check_battery(len(subjects), seeds)
    for subject in subjects:
        shown = MesaShadowField(subject.sensor_tier).obs_dim
        if subject.observed not in (None, shown):
            allowed = f"it observes {subject.observed} numbers, {subject.sensor_tier} shows {shown}"
            raise InputError(FLAGS, subject.name, allowed)


def play_subjects(subjects: Sequence[Subject], seeds: Sequence[int]) -> list[Battery]:
    """Play every pair of every subject: those of one network shape and sensor tier in one call.

    Args:
        subjects: policies and controllers, as `check_subjects` lets through.
        seeds: integer seeds, `[N]`.

    Returns:
        One `Battery` each, in their order.

    Raises:
        InputError: numbers so large that episodes leave what is finite.
    """
    groups: dict[tuple[Any, SensorTier], list[int]] = {}
    for place, subject in enumerate(subjects):
        groups.setdefault((subject.actor, subject.sensor_tier), []).append(place)
    played: dict[int, Battery] = {}
    for (actor, tier), places in groups.items():
        data = [subjects[place].data for place in places]
        batteries = play_battery(MesaShadowField(tier), actor, data, seeds)
        played.update(zip(places, batteries, strict=True))
    for place, subject in enumerate(subjects):
        if not all(np.isfinite(side.positions).all() for side in played[place][1:3]):
            allowed = "its numbers are so large that episodes leave what is finite"
            raise InputError(FLAGS, subject.name, allowed)
    return [played[place] for place in range(len(subjects))]


def unseen_responses(battery: Battery) -> list[str]:
    """Return the channels that no subject sees and that changed an episode all the same.

    None, or the harness is wrong (docs/spec/battery.md): the response has to be exactly 0.
    """
    return [
        channel
        for place, channel in enumerate(CHANNELS)
        if channel in UNSEEN
        and not (
            np.array_equal(battery.edited.actions[place], battery.unedited.actions)
            and np.array_equal(battery.edited.positions[place], battery.unedited.positions)
        )
    ]


def figures_of(subject: Subject, name: str, battery: Battery) -> PolicyFigures:
    """Average a policy's pairs over seeds and label it.

    Args:
        subject: what played.
        name: what to call it.
        battery: its pairs.
    """
    unedited = _side(battery.unedited)
    channels = [
        ChannelFigures(
            channel,
            action_response=_mean(battery.action_response[place]),
            left_out=int(np.isnan(battery.action_response[place]).sum()),
            divergence=_mean(battery.divergence[place]),
            preference=_mean(battery.preference[place]),
            edited=_side(battery.edited.take(place)),
        )
        for place, channel in enumerate(CHANNELS)
    ]
    return PolicyFigures(
        name,
        subject.training,
        subject.sensor_tier,
        len(battery.seeds),
        unedited,
        channels,
        label(label_figures(battery)),
        [] if subject.training is None else list(published_beside(subject.training)),
    )


def _side(episodes: Any) -> Side:
    count, seeds = int(episodes.success.sum()), len(episodes.success)
    return Side(count, count / seeds, clopper_pearson(count, seeds), _mean(episodes.alignment))


def _mean(values: np.ndarray) -> Mean:
    """Return the mean of `[N]` values that are not NaN, with its bootstrap interval."""
    known = values[~np.isnan(values)].astype(np.float64)
    if len(known) == 0:
        return Mean(None, None)
    mean = float(np.mean(known))
    if len(known) == 1:
        return Mean(mean, None)
    from scipy.stats import bootstrap  # takes seconds to import

    interval = bootstrap(
        (known,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH_NUMBERS // len(known)),
        confidence_level=CONFIDENCE,
        method="percentile",  # others fail where all values are equal
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Mean(mean, (float(interval.low), float(interval.high)))
