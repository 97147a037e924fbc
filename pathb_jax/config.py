"""What a run is: tiers, variants, hyper-parameters and the flags of a run. Holds no JAX.

Tables and defaults are those of docs/spec/trainer.md. The classes double as the
command line: every field is a flag, its docstring the help text. What a number may be stands in its
type (`Limit`); `config_checks.validated` holds a configuration to it.
"""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

Tier = Literal["Small", "Medium", "Large"]
SensorTier = Literal[
    "local-probe-field", "privileged-field", "delayed-field", "noisy-field", "delayed-noisy-field"
]
SignatureShapeName = Literal["terminal", "integrated", "threshold"]
Backend = Literal["auto", "cpu", "gpu", "tpu"]
ParallelRuns = int | Literal["auto"]
MatmulPrecision = Literal["float32", "tf32", "bfloat16"]
VariantName = Literal[
    "signature_ppo_dense",
    "signature_ppo_terminal",
    "signature_ppo_threshold",
    "reward_ppo_dense",
    "reward_ppo_phase3",
    "mixed_ppo_lambda_0_5",
    "mixed_ppo_phase3_lambda_0_1",
    "mixed_ppo_phase3_lambda_0_3",
    "mixed_ppo_phase3_lambda_0_5",
    "mixed_ppo_phase3_lambda_0_7",
    "mixed_ppo_phase3_lambda_0_8",
    "mixed_ppo_phase3_lambda_0_9",
    "curriculum_sig_then_reward",
    "curriculum_reward_then_sig",
    "curriculum_reward_then_terminal_sig",
]
RewardName = Literal[VariantName, "own_reward"]

SEED_LIMIT = 2**32
"""Seeds are unsigned 32-bit integers: 0 <= seed < SEED_LIMIT."""


class NetworkSize(NamedTuple):
    """Size of the actor and of the critic (they share nothing)."""

    depth: int
    """Hidden layers."""
    width: int
    """Units per hidden layer."""


TIERS: dict[Tier, NetworkSize] = {
    "Small": NetworkSize(depth=2, width=64),
    "Medium": NetworkSize(depth=4, width=256),
    "Large": NetworkSize(depth=5, width=1024),
}


class Variant(NamedTuple):
    """What a run is rewarded with.

    `mode` names the training reward; `mixed_lambda` is the weight of the reward channel;
    `signature_shape` is None where the signature is not rewarded; a `curriculum` variant
    continues from a checkpoint of another variant.
    """

    family: str
    mode: Literal["signature", "dense", "phase3", "mixed", "mixed_phase3", "own"]
    mixed_lambda: float
    signature_shape: SignatureShapeName | None
    curriculum: bool = False


VARIANTS: dict[VariantName, Variant] = {
    "signature_ppo_dense": Variant("L-Signature", "signature", 0.0, "integrated"),
    "signature_ppo_terminal": Variant("L-Signature", "signature", 0.0, "terminal"),
    "signature_ppo_threshold": Variant("L-Signature", "signature", 0.0, "threshold"),
    "reward_ppo_dense": Variant("L-Reward", "dense", 1.0, None),
    "reward_ppo_phase3": Variant("L-Reward", "phase3", 1.0, None),
    "mixed_ppo_lambda_0_5": Variant("L-Mixed", "mixed", 0.5, "integrated"),
    "mixed_ppo_phase3_lambda_0_1": Variant("L-Mixed", "mixed_phase3", 0.1, "integrated"),
    "mixed_ppo_phase3_lambda_0_3": Variant("L-Mixed", "mixed_phase3", 0.3, "integrated"),
    "mixed_ppo_phase3_lambda_0_5": Variant("L-Mixed", "mixed_phase3", 0.5, "integrated"),
    "mixed_ppo_phase3_lambda_0_7": Variant("L-Mixed", "mixed_phase3", 0.7, "integrated"),
    "mixed_ppo_phase3_lambda_0_8": Variant("L-Mixed", "mixed_phase3", 0.8, "integrated"),
    "mixed_ppo_phase3_lambda_0_9": Variant("L-Mixed", "mixed_phase3", 0.9, "integrated"),
    "curriculum_sig_then_reward": Variant("L-Curriculum", "phase3", 1.0, "integrated", True),
    "curriculum_reward_then_sig": Variant("L-Curriculum", "signature", 0.0, "integrated", True),
    "curriculum_reward_then_terminal_sig": Variant(
        "L-Curriculum", "signature", 0.0, "terminal", True
    ),
}
"""What the shadow field can be rewarded with."""

OWN_REWARD: RewardName = "own_reward"
"""What another environment pays itself."""


def variant_of(name: RewardName) -> Variant:
    """Return what a variant is, or another environment's reward."""
    own = Variant("Own", "own", 0.0, None)
    return own if name == "own_reward" else VARIANTS[name]


class DefaultHint(NamedTuple):
    """Annotates a flag whose default is None with what that stands for."""

    text: str


class Limit(NamedTuple):
    """Annotates a number with what it may be."""

    holds: Callable[[Any], bool]
    allowed: str


LEAST, MOST = 2.0**-126, (2 - 2.0**-23) * 2.0**127
FLOAT32_SIZE = f"{LEAST:.1e} to {MOST:.1e} in size, as float32 holds"


def is_single(number: float) -> bool:
    """Whether float32 holds a number: 0, or what neither vanishes nor overflows there."""
    return number == 0 or LEAST <= abs(number) <= MOST


POSITIVE = Limit(lambda x: is_single(x) and x > 0, f"give a number > 0 ({FLOAT32_SIZE})")
NOT_NEGATIVE = Limit(
    lambda x: is_single(x) and x >= 0, f"give a number >= 0 (0, or {FLOAT32_SIZE})"
)
FRACTION = Limit(
    lambda x: is_single(x) and 0 <= x <= 1, f"give 0 <= number <= 1 (0, or from {LEAST:.1e} on)"
)
FINITE = Limit(is_single, f"give a finite number (0, or {FLOAT32_SIZE})")
COUNT = Limit(lambda x: x >= 1, "give a whole number >= 1")


@dataclasses.dataclass(frozen=True)
class Hparams:
    """Hyper-parameters: plain numbers, traced, so that another candidate compiles nothing.

    None switches an option off; switching one on compiles another program.
    """

    lr: Annotated[float, POSITIVE] = 3e-4
    """Learning rate of Adam, constant over the run."""
    gamma: Annotated[float, FRACTION] = 0.99
    """Discount per environment step."""
    gae_lambda: Annotated[float, FRACTION] = 0.95
    """Decay of generalised advantage estimation."""
    clip_range: Annotated[float, POSITIVE] = 0.2
    """Half-width of PPO's interval for the probability ratio."""
    entropy_coef: Annotated[float, NOT_NEGATIVE] = 0.01
    """Weight of the entropy bonus in the loss."""
    value_coef: Annotated[float, NOT_NEGATIVE] = 0.5
    """Weight of the value loss in the loss."""
    max_grad_norm: Annotated[float, POSITIVE] = 0.5
    """Largest global norm of the gradient; longer ones are scaled down."""
    mixed_lambda: Annotated[float | None, DefaultHint("the variant's own")] = None
    """Weight lambda of the reward channel of a mixed variant, 0 < lambda < 1."""
    critic_lr: Annotated[float | None, POSITIVE, DefaultHint("off")] = None
    """Learning rate of the critic apart from the actor's."""
    value_clip: Annotated[float | None, POSITIVE, DefaultHint("off")] = None
    """Clip the value's change from the rollout's to this, as PPO clips the ratio."""


@dataclasses.dataclass(frozen=True)
class TaskConfig:
    """What is rewarded."""

    variant: Annotated[RewardName, DefaultHint("none: needed without --env")] = OWN_REWARD
    """What the run is rewarded with; left out with --env, which pays its own reward."""
    false_basin_beta: Annotated[float, FINITE] = 2.0
    """Height beta of the false basin's bonus in the phase3 reward."""
    reward_compose_form: Literal["canonical", "delta"] = "canonical"
    """How a mixture is written: (1-L) S + L s R, or S + L (s R - S). Algebraically the same."""
    reward_channel_scale: Annotated[float, FINITE] = 1.0
    """Scale s of the reward channel in a mixture."""
    signature_shape: Annotated[SignatureShapeName | None, DefaultHint("the variant's own")] = None
    """How the signature is paid: every step, at the end, or above a threshold."""
    signature_threshold: Annotated[float, FRACTION] = 0.5
    """Signature above which the threshold shape pays 1."""
    success_return: Annotated[float | None, FINITE, DefaultHint("none")] = None
    """With --env: the sum of rewards from which on an episode is a success."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Shapes of a run. Static: another value compiles another program."""

    tier: Tier = "Small"
    """Network size: 2 x 64, 4 x 256 or 5 x 1024 (hidden layers x width)."""
    sensor_tier: SensorTier = "local-probe-field"
    """What the policy observes."""
    env: Annotated[str | None, DefaultHint("the shadow field")] = None
    """Another environment to train on: one of gymnax's with boxes for observations and actions
    (Pendulum-v1, PointRobot-misc), or module:Class of your own."""
    batch_envs: Annotated[int, COUNT] = 64
    """Environments stepped side by side; environment i starts from seed --seed-start + i."""
    rollout_length: Annotated[int, COUNT] = 128
    """Environment steps per environment and update."""
    minibatch_size: Annotated[int, COUNT] = 256
    """Samples per gradient step; must divide batch-envs x rollout-length."""
    epochs: Annotated[int, COUNT] = 4
    """Passes over the rollout per update."""
    truncation: Literal["terminal", "bootstrap"] = "terminal"
    """What a time-out means for the value of what follows: zero, as the investigation pinned it,
    or V of the final observation."""
    reshuffle_epochs: bool = False
    """Draw a new order of the samples for each epoch instead of one per update."""
    train_starts: Literal["fixed", "fresh"] = "fixed"
    """Start episodes from the fixed training seeds, or anew each time from the key."""
    matmul_precision: MatmulPrecision = "float32"
    """Inputs of matrix products in training: rounded to tf32 or bfloat16 they are faster on GPU and
    TPU, and other numbers; a CPU computes float32 whatever is asked. Evaluation is in float32."""

    @property
    def shown(self) -> SensorTier | None:
        """The sensor tier; None with another environment, which has none."""
        return self.sensor_tier if self.env is None else None

    @property
    def batch_size(self) -> int:
        """Environment steps per update."""
        return self.batch_envs * self.rollout_length


@dataclasses.dataclass(frozen=True)
class ScheduleConfig:
    """How long, and from which seeds."""

    updates: int = 80
    """PPO updates to run (each batch-envs x rollout-length environment steps); with
    --load-checkpoint the number of further updates."""
    seed: int = 0
    """Training seed: network initialisation, action noise, minibatch order."""
    seed_start: int = 20000
    """First of the integer seeds that fix the training starts."""
    log_std_init: Annotated[float, FINITE] = -0.5
    """Initial log standard deviation of the policy, per action dimension."""
    lr_schedule: str = "constant"
    """constant, or linear:END: from --lr at the first update to END at the last."""
    entropy_schedule: str = "constant"
    """constant, or linear:END: from --entropy-coef at the first update to END at the last."""

    @property
    def lr_end(self) -> float | None:
        """Learning rate at the last update; None: constant."""
        return schedule_end(self.lr_schedule)

    @property
    def entropy_coef_end(self) -> float | None:
        """Weight of the entropy bonus at the last update; None: constant."""
        return schedule_end(self.entropy_schedule)


def schedule_end(schedule: str) -> float | None:
    """Return END of "linear:END", None of "constant".

    >>> schedule_end("linear:1e-5")
    1e-05

    Raises:
        ValueError: neither of them.
    """
    if schedule == "constant":
        return None
    kind, _, end = schedule.partition(":")
    if kind != "linear":
        raise ValueError(schedule)
    return float(end)


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How the policy is evaluated: acting with the mean, from fixed seeds."""

    eval_seed_start: tuple[int, ...] = (10000,)
    """First seed of each evaluation set. A training run adds the sets 20000 and 30000."""
    eval_seeds: Annotated[int, COUNT] = 64
    """Seeds (episodes) per set."""
    eval_only: bool = False
    """Only evaluate --load-checkpoint, on exactly the sets of --eval-seed-start."""
    eval_every: Annotated[int | None, COUNT, DefaultHint("a tenth of the run")] = None
    """Updates between evaluations during training. Does not change training."""
    eval_at: Annotated[tuple[int, ...], DefaultHint("none")] = ()
    """Further evaluations during training: after how many updates of this run, one or more."""
    success_floor: Annotated[float, FRACTION] = 0.75
    """Success rate on the first set below which the command exits with status 3."""


@dataclasses.dataclass(frozen=True)
class OutputConfig:
    """Where files go, and where the run runs."""

    run_label: str = ""
    """Suffix of the run's file names (letters, digits, '_', '-', '.')."""
    out: Annotated[Path | None, DefaultHint("results/mesa/<variant>")] = None
    """Folder for the run's files."""
    load_checkpoint: Annotated[Path | None, DefaultHint("none")] = None
    """Start from this checkpoint: a run folder (its last checkpoint) or one step's folder."""
    fork_at: Annotated[int | None, COUNT, DefaultHint("off")] = None
    """With --load-checkpoint: go on from its run's exact state after this update (optimizer and
    environments too), with schedules as planned there; --seed draws the noise from there on."""
    reset_optimizer: bool = False
    """With --load-checkpoint: drop Adam's moments."""
    keep_every: Annotated[int | None, COUNT, DefaultHint("none")] = None
    """Keep the exact state after every so many updates (by their index, which continued runs count
    on) for good, beside the last two checkpoints and the best: states to fork from."""
    fresh: bool = False
    """Start over: move what is in --out aside (to <out>.superseded-1, -2, ...), delete nothing."""
    accept_environment_change: bool = False
    """Resume although program, versions or device differ from the run's; this is recorded."""
    progress: bool = True
    """Show progress: update, steps per second, time left, entropy, log_std, value_loss."""
    backend: Backend = "auto"
    """Where to compute. Anything but auto must be there: there is no silent fallback."""
    deterministic: bool = True
    """Keep a GPU to operations that repeat bit for bit (a CPU always does)."""


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that defines one run."""

    task: TaskConfig
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    hparams: Hparams = dataclasses.field(default_factory=Hparams)
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    output: OutputConfig = dataclasses.field(default_factory=OutputConfig)

    @property
    def name(self) -> str:
        """What the run's files are named after: its variant, or its environment."""
        env = self.train.env
        return self.task.variant if env is None else re.sub(r"[^A-Za-z0-9._-]", "_", env)

    @property
    def eval_every(self) -> int:
        """Updates between in-run evaluations: given, or a tenth of the run."""
        return self.evaluation.eval_every or max(1, self.schedule.updates // 10)

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain JSON values, one object per group of flags.

        Paths are absolute, so that they mean the same from any folder.
        """
        return {
            group: {name: _plain(value) for name, value in values.items()}
            for group, values in dataclasses.asdict(self).items()
        }


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())
    return list(value) if isinstance(value, tuple) else value
