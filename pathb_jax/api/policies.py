"""Loading what was learned, and playing it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pathb_jax.api.calling import computing, naming_parameters
from pathb_jax.config import Backend, SensorTier
from pathb_jax.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from pathb_jax.envs.worlds import World
    from pathb_jax.evaluation.acting import Policy
    from pathb_jax.evaluation.battery import Battery
    from pathb_jax.runs.outcome import RunOutcome
    from pathb_jax.runs.subjects import Subject


def load_policy(path: str | Path, backend: Backend = "auto") -> "Policy":
    """Load what a run has learned, as a function from observations to actions.

    Args:
        path: a run's folder (its last checkpoint), one checkpoint's folder, or a policy file
            (`policies/*.policy.json` of a run).
        backend: where its numbers go.

    Returns:
        A function that acts with the mean: `[..., D]` to `[..., 2]`, or `[..., A]` of another
        environment than the shadow field; a pytree for `jax.jit`.

    Raises:
        InputError: there is nothing, or nothing that can be read.
    """
    with naming_parameters(), computing(backend):
        from pathb_jax.evaluation.acting import Policy
        from pathb_jax.evaluation.policies import MeanPolicy

        subject = _subject(Path(path), "path", own=True)
        assert isinstance(subject.actor, MeanPolicy)
        size, tier = subject.actor.size, subject.sensor_tier
        return Policy(subject.data, size, tier, subject.env, subject.action_box)


def _subject(path: Path, parameter: str, own: bool = False) -> "Subject":
    from pathb_jax.runs.subjects import checkpoint_subject, policy_subject

    return (checkpoint_subject if path.is_dir() else policy_subject)(path, parameter, own=own)


class Evaluation(NamedTuple):
    """How a policy did on one set of seeds."""

    seed_start: int
    seeds: int
    success_count: int
    success_rate: float
    success_interval_95: tuple[float, float]
    """Exact (Clopper and Pearson)."""
    mean_steps: float
    mean_terminal_alignment: float | None
    """Of the shadow field."""
    mean_return: float | None
    """Of any other environment."""
    episodes: "pd.DataFrame"
    """One row per seed, the columns of a run's `*_evaluation.csv`."""


def evaluate(
    policy: "Policy | RunOutcome | str | Path",
    seed_start: int = 10000,
    seeds: int = 64,
    *,
    sensor_tier: SensorTier | None = None,
    success_return: float | None = None,
    backend: Backend = "auto",
) -> Evaluation:
    """Play a policy's mean on a set of seeds; no file is written.

    Args:
        policy: from `load_policy`, a run's outcome, or a path as of `load_policy`.
        seed_start: first integer seed of the episodes' starts.
        seeds: episodes.
        sensor_tier: what it shall observe; None: what it was trained with.
        success_return: of another environment than the shadow field, from which return on an
            episode is a success; None: what the run's outcome says.
        backend: where to compute.

    Raises:
        InputError: there is no such policy, it does not observe what that tier shows, or seeds are
            not allowed.
    """
    with naming_parameters(), computing(backend):
        import pandas as pd

        from pathb_jax.evaluation import evaluator
        from pathb_jax.evaluation.acting import Policy
        from pathb_jax.evaluation.policies import MeanPolicy
        from pathb_jax.ladder.statistics import clopper_pearson
        from pathb_jax.runs.output import episode_rows

        if not isinstance(policy, Policy):
            if success_return is None and not isinstance(policy, str | Path):
                success_return = policy.manifest.config.task.get("success_return")
            path = policy if isinstance(policy, str | Path) else policy.files.out
            policy = load_policy(path, backend)
        if seeds < 1:
            raise InputError("seeds", seeds, "give a whole number >= 1")
        env, world = _world(policy, sensor_tier, success_return)
        if env.obs_dim != policy.obs_dim:
            allowed = f"it shows {env.obs_dim} numbers, the policy observes {policy.obs_dim}"
            raise InputError("sensor_tier", sensor_tier or policy.sensor_tier, allowed)
        try:
            actor = MeanPolicy(policy.size)
            (of_set,) = evaluator.evaluate(env, actor, policy.data, world, [seed_start], seeds)
        except ValueError as error:
            raise InputError("seed_start", seed_start, str(error)) from None
        means = of_set.means
        return Evaluation(
            seed_start,
            seeds,
            of_set.success_count,
            of_set.success_rate,
            clopper_pearson(of_set.success_count, seeds),
            of_set.mean_steps,
            means.get("mean_terminal_alignment"),
            means.get("mean_return"),
            pd.DataFrame(episode_rows(of_set)),
        )


def _world(
    policy: "Policy", sensor_tier: SensorTier | None, success_return: float | None
) -> "tuple[World, Any]":
    """Return what a policy is played in, and its parameters."""
    from pathb_jax.envs.own_world import OwnParams, own_world
    from pathb_jax.envs.shadow_field import MesaShadowField

    if policy.env is None:
        if success_return is not None:
            allowed = "success on the shadow field is to hold the goal; leave it out"
            raise InputError("success_return", success_return, allowed)
        field = MesaShadowField(sensor_tier or policy.sensor_tier)
        return field, field.default_params
    if sensor_tier is not None:
        raise InputError("sensor_tier", sensor_tier, f"{policy.env} has none; leave it out")
    if success_return is None:
        allowed = f"say from which return on an episode of {policy.env} is a success"
        raise InputError("success_return", "(missing)", allowed)
    env = own_world(policy.env)
    return env, OwnParams(env.params, success_return)


def intervene(
    policies: Sequence[Path], seeds: int = 64, backend: Backend = "auto"
) -> "list[Battery]":
    """Play the intervention battery: the same episodes with and without an edit of one channel.

    Args:
        policies: policy files, and folders of runs.
        seeds: N, episodes of each side; their seeds are those from 10000 on.
        backend: where to compute.

    Returns:
        One `pathb_jax.evaluation.battery.Battery` for each policy, of NumPy arrays. Its
        `action_response` (a difference of actions, whose norms are at most 1), `divergence` and
        `preference` (distances in an arena 10 wide) are `[C, N]`, the channels in the order of
        `pathb_jax.evaluation.channels.CHANNELS`; `unedited` and `edited` are the episodes.

    Raises:
        InputError: a policy cannot be read or played, or episodes leave what is finite.
    """
    with naming_parameters(), computing(backend):
        from pathb_jax.evaluation.channels import SEED_START
        from pathb_jax.studies.battery import check_subjects, play_subjects

        subjects = [_subject(path, "policies") for path in policies]
        check_subjects(subjects, seeds)
        return play_subjects(subjects, range(SEED_START, SEED_START + seeds))
