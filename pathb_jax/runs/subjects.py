"""What a command plays: a checkpoint, a policy file or a reference controller, loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import numpy as np

from pathb_jax.config import TIERS, VARIANTS, SensorTier, VariantName
from pathb_jax.envs.own_world import own_world
from pathb_jax.errors import InputError
from pathb_jax.evaluation.policies import (
    Actor,
    ControllerName,
    MeanPolicy,
    ReferenceController,
    policy_data,
    policy_file_data,
)
from pathb_jax.runs.loading import load_newest
from pathb_jax.store.policy_file import read_policy


class Training(NamedTuple):
    """What a policy was trained as, as far as its file says."""

    tier: str
    variant: str
    mixed_lambda: float | None


@dataclass(frozen=True)
class Subject:
    """What plays."""

    name: str
    actor: Actor
    data: Any
    """Its numbers, None for a controller."""
    sensor_tier: SensorTier
    training: Training | None = None
    """None for a controller."""
    env: str | None = None
    """What it was trained on, if not on the shadow field."""
    action_box: np.ndarray | None = None
    """`[2, A]` of that environment: lowest and highest."""

    @property
    def observed(self) -> int | None:
        """Entries of the observation it was made for; None if it takes any tier's."""
        return None if self.data is None else self.data.obs_mean.shape[0]


def controller_subject(name: ControllerName) -> Subject:
    """Return a reference controller on its own sensor tier."""
    tier: SensorTier = "privileged-field" if name == "oracle" else "local-probe-field"
    return Subject(name, ReferenceController(name), None, tier)


def policy_subject(
    path: Path,
    flag: str,
    sensor_tier: SensorTier | None = None,
    hint: str = "",
    own: bool = False,
) -> Subject:
    """Read a policy file.

    Args:
        path: the file.
        flag: what an error message about its metadata blames.
        sensor_tier: in the place of its metadata's.
        hint: what such a message advises.
        own: whether a policy of another environment than the shadow field will do.

    Raises:
        InputError: as `read_policy`, or its sensor tier is not known and none is given.
    """
    policy = read_policy(path)
    actor, data = policy_file_data(policy)
    training = _training(policy.tier, policy.variant, policy.metadata.get("mixed_lambda"))
    if (env := policy.metadata.get("env")) is not None:
        _refuse_unless(own, flag, str(path), env)
        box = np.array([policy.metadata[name] for name in ("action_low", "action_high")])
        return Subject(str(path), actor, data, "local-probe-field", training, env, box)
    tier = policy.metadata.get("sensor_tier", "local-probe-field")
    if sensor_tier is None and tier not in get_args(SensorTier):
        allowed = f"its metadata's sensor tier is none of {', '.join(get_args(SensorTier))}"
        raise InputError(flag, str(tier), allowed + hint)
    return Subject(str(path), actor, data, sensor_tier or tier, training)


def checkpoint_subject(path: Path, flag: str, own: bool = False) -> Subject:
    """Load a run's last checkpoint, or one step's folder; `name` is that folder.

    Args:
        path: of it.
        flag: what an error message blames.
        own: as of `policy_subject`.

    Raises:
        InputError: as `load_newest`.
    """
    loaded = load_newest(path, None, flag)
    env, box = loaded.train_config.env, None
    if env is not None:
        _refuse_unless(own, flag, str(path), env)
        box = own_world(env).action_box
    saved, state, config = loaded.train_config, loaded.state, loaded.meta.config
    return Subject(
        str(loaded.path),
        MeanPolicy(TIERS[saved.tier]),
        policy_data(state.params, state.normalizer),
        saved.sensor_tier,
        _training(saved.tier, config.task.get("variant"), config.hparams.get("mixed_lambda")),
        env,
        box,
    )


def _refuse_unless(own: bool, flag: str, path: str, env: str) -> None:
    if not own:
        allowed = f"it was trained on {env}, and this plays the shadow field alone"
        raise InputError(flag, path, allowed)


def _training(tier: str, variant: Any, mixed_lambda: Any) -> Training:
    """Return what a file says, maybe another program's; a lambda it lacks is its variant's."""
    if type(mixed_lambda) not in (int, float):
        known = VARIANTS.get(cast(VariantName, str(variant)))
        mixed_lambda = None if known is None else known.mixed_lambda
    return Training(tier, str(variant), mixed_lambda)
