"""The fields of a protocol file and their limits: the table of what is allowed.

What the numbers mean is in docs/spec/ladder.md.
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Annotated

from pathb_jax.config import SEED_LIMIT, TIERS, VARIANTS, SensorTier
from pathb_jax.ladder.strict_table import OneLine, Range, SomeOf

Text = Annotated[str, OneLine()]
Name = Annotated[
    str, OneLine(r"[a-z0-9][a-z0-9_]{0,63}")
]  # in folder names: no case, so none coincide
TierName = Annotated[str, OneLine(choices=tuple(TIERS))]
FreshVariant = Annotated[
    str, OneLine(choices=tuple(name for name in VARIANTS if not VARIANTS[name].curriculum))
]
Seed = Annotated[int, Range(0, SEED_LIMIT - 1)]
Count = Annotated[int, Range(1, 10**9)]
Steps = Annotated[int, Range(0, 10**15)]
Rate = Annotated[float, Range(0, 1)]
Alignment = Annotated[float, Range(-1, 1)]
Figure = Annotated[float, Range(-1e6, 1e6)]
Loss = Annotated[float, Range(0, 1e12)]
Hours = Annotated[float, Range(0, 1e6)]
Weight = Annotated[float, Range(0, 100)]
Lambda = Annotated[float, Range(0, 1, above=True, below=True)]


@dataclasses.dataclass(frozen=True)
class Run:
    """The configuration that every candidate shares. Names are those of the training flags."""

    label: Name
    variant: FreshVariant
    tier: TierName
    sensor_tier: Annotated[str, OneLine(choices=typing.get_args(SensorTier))]
    updates: Count
    seed: Seed
    batch_envs: Annotated[int, Range(1, 2**20)]
    rollout_length: Annotated[int, Range(1, 2**20)]
    minibatch_size: Annotated[int, Range(1, 2**30)]
    epochs: Annotated[int, Range(1, 1000)]
    seed_start: Seed
    log_std_init: Annotated[float, Range(-20, 5)]
    mixed_lambda: Lambda | None = None

    @property
    def env_steps(self) -> int:
        """Environment steps of the whole run."""
        return self.updates * self.batch_envs * self.rollout_length


@dataclasses.dataclass(frozen=True)
class Knobs:
    """Hyper-parameters at their defaults; a candidate may change any of them."""

    lr: Annotated[float, Range(0, 10, above=True)]
    gamma: Rate
    gae_lambda: Rate
    clip_range: Annotated[float, Range(0, 100, above=True)]
    entropy_coef: Weight
    value_coef: Weight
    max_grad_norm: Annotated[float, Range(0, 1e6, above=True)]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One candidate: `change` maps a knob to its value."""

    order: Annotated[int, Range(1, 1000)]
    tag: Name
    change: Annotated[Mapping[str, float], SomeOf(Knobs)]
    why: Text
    if_it_fails: Text


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Seeds per evaluation set, and the set that informs and does not vote."""

    seeds: Annotated[int, Range(1, 2**20)]
    third_seed_start: Seed


@dataclasses.dataclass(frozen=True)
class SuccessFloor:
    """Stage 1: success rate on the set at `seed_start` of at least `threshold`."""

    seed_start: Seed
    threshold: Rate


@dataclasses.dataclass(frozen=True)
class TrainingDynamics:
    """Stage 2: the last `window` history rows."""

    window: Annotated[int, Range(2, 10**9)]
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
    critic_window_at_least: Annotated[int, Range(2, 10**9)]
    critic_log_std_rise_at_least: Figure
    critic_value_loss_at_least: Loss
    critic_reward_rows: Count
    critic_reward_fall_at_least: Figure
    collapse_alignment_at_least: Alignment
    collapse_log_std_at_most: Figure
    under_budget_alignment_gain_at_least: Annotated[float, Range(-2, 2)]
    healthy_success_at_least: Rate


@dataclasses.dataclass(frozen=True)
class Prediction:
    """`candidate` (a tag, or "first") clears `stage`."""

    id: Annotated[str, OneLine(r"[A-Za-z0-9]{1,16}")]
    candidate: Name
    stage: Annotated[int, Range(1, 3)]
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
    """What the rejection of all candidates at `tier` says."""

    finding: Text
    code_changes: tuple[Text, ...]
    tier: TierName | None = None


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
    """Default hyper-parameters at `tier`, and the best state seen."""

    best: Name
    segments: tuple[Segment, ...]
    tier: TierName | None = None


@dataclasses.dataclass(frozen=True)
class ProgrammeRun:
    """What the programme found for one run at `tier`, to be compared with."""

    run: Name
    env_steps: Steps
    success_rate: Rate
    mean_terminal_alignment: Alignment
    remark: Text
    tier: TierName | None = None


@dataclasses.dataclass(frozen=True)
class Content:
    """The fields of a protocol file. What decides is required; what is told beside it is not."""

    name: Name
    run: Run
    hparams: Knobs
    candidates: tuple[Candidate, ...]
    evaluation: Evaluation
    stages: Stages
    failure_modes: FailureModes
    predictions: tuple[Prediction, ...]
    batch: tuple[BatchRun, ...]
    rejection: Rejection | None = None
    compute: Compute | None = None
    path_a: PathA | None = None
    programme: tuple[ProgrammeRun, ...] = ()
