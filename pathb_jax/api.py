"""What the package offers to other programs: its functions do what the commands do.

Each chooses where to compute before anything else, as its command does, and leaves JAX's settings
as it found them. An error names the parameter where a command's names the flag.
"""

import contextlib
import dataclasses
import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from pathb_jax.config import Backend, RunConfig, SensorTier, Tier, VariantName
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.settings import config_of
from pathb_jax.system import backend

if TYPE_CHECKING:
    import pandas as pd

    from pathb_jax.envs.worlds import World
    from pathb_jax.evaluation.acting import Policy
    from pathb_jax.evaluation.battery import Battery
    from pathb_jax.judging.runs import JudgedRun
    from pathb_jax.ladder.plan import LadderPlan
    from pathb_jax.ladder.protocol import Protocol
    from pathb_jax.runs.observer import Observer
    from pathb_jax.runs.outcome import RunOutcome
    from pathb_jax.runs.subjects import Subject
    from pathb_jax.store.record_schema import LadderRecord


def make_config(
    variant: VariantName | None = None,
    tier: Tier = "Small",
    *,
    env: str | None = None,
    updates: int = 1221,
    seed: int = 0,
    out: str | Path | None = None,
    eval_seeds: int = 64,
    **knobs: Any,
) -> RunConfig:
    """Describe a run by names alone, whatever group of the configuration they belong to.

    Args:
        variant: what the run is rewarded with; None with `env`.
        tier: network size.
        env: another environment than the shadow field: one of gymnax's with boxes, "Pendulum-v1",
            or "module:Class". It takes `success_return` too, from which on an episode is a success.
        updates: PPO updates, each 8 192 environment steps as long as the shapes are the default.
        seed: training seed.
        out: folder for its files; None: `results/mesa/<variant>`, `results/<env>`.
        eval_seeds: episodes per evaluation set.
        **knobs: any other field of `TaskConfig`, `TrainConfig`, `Hparams`, `ScheduleConfig`,
            `EvaluationConfig` or `OutputConfig`: `lr=1e-4`, `mixed_lambda=0.95`, `eval_every=50`.

    Returns:
        The configuration, with everything left out filled in.

    Raises:
        InputError: no such knob, or a value that is not allowed.
    """
    given: dict[str, Any] = {"tier": tier, "updates": updates, "seed": seed, "env": env}
    given |= {} if variant is None else {"variant": variant}
    given |= {"eval_seeds": eval_seeds, "out": None if out is None else Path(out), **knobs}
    with _naming_parameters():
        return validated(config_of(given))


@overload
def train(
    config: RunConfig, *, progress: bool | None = None, observers: "Sequence[Observer]" = ()
) -> "RunOutcome": ...


@overload
def train(
    config: RunConfig,
    *,
    seeds: int,
    progress: bool | None = None,
    observers: "Sequence[Observer]" = (),
) -> "list[RunOutcome]": ...


def train(
    config: RunConfig,
    *,
    seeds: int | None = None,
    progress: bool | None = None,
    observers: "Sequence[Observer]" = (),
) -> "RunOutcome | list[RunOutcome]":
    """Train, evaluate and write all files of one run, or of several that differ by their seed.

    A run that was stopped goes on from its last checkpoint; one that had finished is only read.

    Args:
        config: the configuration; it need not be validated.
        seeds: train so many runs side by side, with the configuration's seed and those after it,
            each in `seed_<n>` below its folder. None: that one run, in its folder.
        progress: whether to show a progress bar; None: as the configuration says.
        observers: told about progress.

    Returns:
        The outcome; with `seeds` a list of them, in the order of the seeds.

    Raises:
        InputError: something in the configuration is not allowed or cannot be had here any more,
            the folder holds another run under the same name, or the checkpoint to load does not
            fit.
        CheckpointError: checkpoints exist but none of them is whole, or saving one failed.
        OSError: a file cannot be written; what is on disk stays valid.
    """
    with _naming_parameters():
        config = validated(config)
        if seeds is not None and seeds < 1:
            raise InputError("seeds", seeds, "give a whole number >= 1")
        configs = [config] if seeds is None else [_of_seed(config, n) for n in range(seeds)]
        output, devices = config.output, backend.host_devices("auto", config.train.tier)
        host_devices = None if seeds is None else devices
        with _computing(
            output.backend, deterministic=output.deterministic, host_devices=host_devices
        ):
            from pathb_jax.display.progress import ProgressBar
            from pathb_jax.runs import side_by_side, trainer
            from pathb_jax.runs.observer import Observers

            with ProgressBar(quiet=not (output.progress if progress is None else progress)) as bar:
                observer = Observers([bar, *observers]) if observers else bar
                if seeds is None:
                    return trainer.train(config, observer)
                ended = side_by_side.train_all(configs, observer)
                outcomes = {finished.position: finished.outcome for finished in ended}
        return [outcomes[place] for place in range(seeds)]


def _of_seed(config: RunConfig, offset: int) -> RunConfig:
    """Return the run of a later seed, in a folder of its own."""
    seed, out = config.schedule.seed + offset, config.output.out
    assert out is not None  # filled in by `validated`
    return validated(
        dataclasses.replace(
            config,
            schedule=dataclasses.replace(config.schedule, seed=seed),
            output=dataclasses.replace(config.output, out=out / f"seed_{seed}"),
        )
    )


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
    with _naming_parameters(), _computing(backend):
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
    with _naming_parameters(), _computing(backend):
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


def judge(runs: "Sequence[str | Path | RunOutcome]", protocol: str = "path_b") -> "list[JudgedRun]":
    """Judge finished runs by a protocol's stages, whoever trained them.

    Args:
        runs: folders of one run each, or outcomes.
        protocol: the name of a shipped protocol, or the path of a TOML file.

    Returns:
        For each run its receipts, failure mode and figures.

    Raises:
        InputError: a folder holds no finished run, or the protocol is not valid.
    """
    with _naming_parameters():
        from pathb_jax.judging.runs import judge_run
        from pathb_jax.ladder.protocol import load_protocol

        loaded = load_protocol(protocol)
        folders = [Path(r) if isinstance(r, str | Path) else r.files.out for r in runs]
        return [judge_run(folder, loaded) for folder in folders]


def evaluate_only(config: RunConfig) -> list[dict[str, Any]]:
    """Evaluate a checkpoint on exactly the configured sets; write the suffixed files.

    Returns:
        One summary per set.

    Raises:
        InputError: as `train`.
    """
    with _naming_parameters():
        config = validated(config)
        with _computing(config.output.backend, deterministic=config.output.deterministic):
            from pathb_jax.runs import evaluating

            return evaluating.evaluate_only(config)


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
    with _naming_parameters(), _computing(backend):
        from pathb_jax.evaluation.channels import SEED_START
        from pathb_jax.studies.battery import check_subjects, play_subjects

        subjects = [_subject(path, "policies") for path in policies]
        check_subjects(subjects, seeds)
        return play_subjects(subjects, range(SEED_START, SEED_START + seeds))


def run_ladder(
    protocol: "LadderPlan | Protocol | str" = "path_b",
    out: str | Path | None = None,
    *,
    tier: Tier | None = None,
    updates: int | None = None,
    seed: int | None = None,
    progress: bool = True,
    observers: "Sequence[Observer]" = (),
    **options: Any,
) -> "LadderRecord":
    """Run a ladder to its verdict, or go on with one; its record and run folders are written.

    Args:
        protocol: the name of a shipped protocol, the path of a TOML file, a loaded protocol, or a
            whole `LadderPlan`, with which the arguments up to `seed` and `options` go unused.
        out: the ladder's folder; None: `results/mesa/phase7v2-<tier>-cliff-subset`.
        tier: in the place of the protocol's; like the next two a recorded departure from it.
        updates: likewise.
        seed: the first training seed, likewise.
        progress: whether to show a progress bar.
        observers: told about the progress of the runs.
        **options: other fields of `pathb_jax.ladder.plan.LadderPlan`: `skip_batch=True`,
            `train_seeds=2`, `backend="gpu"`.

    Raises:
        InputError: as `train`, or the folder holds another ladder.
    """
    with _naming_parameters(), contextlib.ExitStack() as stack:
        plan = _plan(protocol, out, {"tier": tier, "updates": updates, "seed": seed}, options)
        if plan.cluster is None:
            devices = backend.host_devices(plan.parallel_runs, plan.run.tier)
            stack.enter_context(
                _computing(plan.backend, deterministic=plan.deterministic, host_devices=devices)
            )
        from pathb_jax.display.progress import ProgressBar
        from pathb_jax.ladder import ladder
        from pathb_jax.runs.observer import Observers

        bar = stack.enter_context(ProgressBar(quiet=not progress))
        return ladder.run_ladder(plan, Observers([bar, *observers]))


def _plan(protocol: Any, out: str | Path | None, run: Any, options: Any) -> "LadderPlan":
    from pathb_jax.ladder.plan import LadderPlan
    from pathb_jax.ladder.protocol import default_folder, load_protocol, planned_run

    if isinstance(protocol, LadderPlan):
        return protocol
    known = [f.name for f in dataclasses.fields(LadderPlan)]
    for name, value in options.items():
        if name not in known or name in ("protocol", "run", "out", "command"):
            near = difflib.get_close_matches(name, known) or known
            raise InputError(name, value, f"there is no such option; is it {' or '.join(near)}?")
    loaded = load_protocol(protocol) if isinstance(protocol, str) else protocol
    planned = planned_run(loaded, **run)
    return LadderPlan(loaded, planned, Path(out or default_folder(planned)), **options)


@contextlib.contextmanager
def _naming_parameters() -> Iterator[None]:
    """Let errors name parameters, `eval_seeds`, in the place of flags, `--eval-seeds`."""
    try:
        yield
    except InputError as error:
        field, allowed = map(_parameter, (error.field, error.allowed))
        if (field, allowed) == (error.field, error.allowed):
            raise
        raise InputError(field, error.value, allowed) from None


def _parameter(text: str) -> str:
    return re.sub(r"(?<!\S)--([a-z][a-z0-9-]*)", lambda found: found[1].replace("-", "_"), text)


@contextlib.contextmanager
def _computing(
    name: Backend, *, deterministic: bool = True, host_devices: int | None = None
) -> Iterator[None]:
    """Compute where the command would, with its precision, while the context lasts."""
    device = backend.choose_device(name, deterministic=deterministic, host_devices=host_devices)
    import jax

    chosen = contextlib.nullcontext() if device is None else jax.default_device(device)
    with chosen, jax.default_matmul_precision("float32"):
        yield
