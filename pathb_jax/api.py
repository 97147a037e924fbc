"""What the package offers to other programs: its functions do what the commands do.

Each chooses where to compute before anything else, as its command does, and leaves JAX's settings
as it found them.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathb_jax.config import Backend, RunConfig
from pathb_jax.config_checks import validated
from pathb_jax.system import backend

if TYPE_CHECKING:
    from pathb_jax.evaluation.battery import Battery
    from pathb_jax.ladder.plan import LadderPlan
    from pathb_jax.runs.observer import Observer
    from pathb_jax.runs.outcome import RunOutcome
    from pathb_jax.store.record_schema import LadderRecord


def train(config: RunConfig, observer: "Observer | None" = None) -> "RunOutcome":
    """Train, evaluate and write all files of one run; resume it where it was stopped.

    Args:
        config: the configuration; it need not be validated.
        observer: told about progress. None: a progress bar if the configuration asks for one.

    Returns:
        The outcome. A run that had finished before is read, not trained again.

    Raises:
        InputError: something in the configuration is not allowed or cannot be had here any more,
            the folder holds another run under the same name, or the checkpoint to load does not
            fit.
        CheckpointError: checkpoints exist but none of them is whole, or saving one failed.
        OSError: a file cannot be written; what is on disk stays valid.
    """
    config = validated(config)
    with _computing(config.output.backend, deterministic=config.output.deterministic):
        from pathb_jax.display.progress import ProgressBar
        from pathb_jax.runs import trainer

        if observer is not None:
            return trainer.train(config, observer)
        with ProgressBar(quiet=not config.output.progress) as bar:
            return trainer.train(config, bar)


def evaluate_only(config: RunConfig) -> list[dict[str, Any]]:
    """Evaluate a checkpoint on exactly the configured sets; write the suffixed files.

    Returns:
        One summary per set.

    Raises:
        InputError: as `train`.
    """
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
    with _computing(backend):
        from pathb_jax.evaluation.channels import SEED_START
        from pathb_jax.runs.subjects import checkpoint_subject, policy_subject
        from pathb_jax.studies.battery import check_subjects, play_subjects

        subjects = [
            (checkpoint_subject if path.is_dir() else policy_subject)(path, "policies")
            for path in policies
        ]
        check_subjects(subjects, seeds)
        return play_subjects(subjects, range(SEED_START, SEED_START + seeds))


def run_ladder(plan: "LadderPlan", observer: "Observer | None" = None) -> "LadderRecord":
    """Run a ladder, or go on with one: `pathb_jax.ladder.ladder.run_ladder` says more.

    Raises:
        InputError: as `train`, or the folder holds another ladder.
    """
    with contextlib.ExitStack() as stack:
        if plan.cluster is None:
            devices = backend.host_devices(plan.parallel_runs, plan.run.tier)
            stack.enter_context(
                _computing(plan.backend, deterministic=plan.deterministic, host_devices=devices)
            )
        from pathb_jax.ladder import ladder

        return ladder.run_ladder(plan, observer)


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
