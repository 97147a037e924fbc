"""Where a command computes: on this machine's devices or a cluster's."""

import contextlib
from collections.abc import Iterator

from pathb_jax.config import Backend, ParallelRuns, Tier, TrainConfig
from pathb_jax.errors import InputError
from pathb_jax.runs.cluster import Cluster

MOST_RUNS_PER_DEVICE = 1024
RUNS_PER_CORE = 8


def check_parallel_runs(parallel_runs: ParallelRuns, tier: Tier) -> None:
    """Raise InputError unless it is auto or a number that this machine's cores can drive."""
    from pathb_jax.runs.memory import size, training_bytes
    from pathb_jax.system.backend import available_cores

    cores = available_cores()
    most = RUNS_PER_CORE * cores
    if parallel_runs != "auto" and not 1 <= parallel_runs <= most:
        each = training_bytes(TrainConfig(tier=tier))
        needed = f"; they would take {size(each * parallel_runs)}" if parallel_runs > most else ""
        allowed = (
            f"give auto or a whole number from 1 to {most}, {RUNS_PER_CORE} for each of {cores} "
            f"cores{needed}"
        )
        raise InputError("--parallel-runs", parallel_runs, allowed)


def check_ray(ray: str | None, parallel_runs: ParallelRuns, runs_per_device: int = 1) -> None:
    """Raise InputError if flags say both that a cluster places runs and how this machine does."""
    if ray is None:
        return
    if parallel_runs != "auto":
        allowed = "with --ray as many runs train at once as the cluster has room for; leave it out"
        raise InputError("--parallel-runs", parallel_runs, allowed)
    if runs_per_device != 1:
        allowed = "with --ray each run has a device to itself; leave it out"
        raise InputError("--runs-per-device", runs_per_device, allowed)


@contextlib.contextmanager
def computing(
    backend: Backend,
    tier: Tier,
    parallel_runs: ParallelRuns,
    ray: str | None,
    *,
    accept_environment_change: bool,
    deterministic: bool = True,
) -> Iterator[Cluster | None]:
    """Choose what trains while the context lasts: a Ray cluster, or with None this machine.

    Raises:
        InputError: there is no such device or cluster.
    """
    if ray is not None:
        from pathb_jax.cluster.connection import connected

        with connected(
            ray,
            backend,
            deterministic=deterministic,
            accept_environment_change=accept_environment_change,
        ) as cluster:
            yield cluster
        return
    from pathb_jax.system.backend import host_devices, select_backend

    devices = host_devices(parallel_runs, tier)
    select_backend(backend, deterministic=deterministic, host_devices=devices)
    yield None
