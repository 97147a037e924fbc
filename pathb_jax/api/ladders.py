"""Judging runs by a protocol, and running its ladder."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathb_jax.api.calling import computing, naming_parameters
from pathb_jax.config import Tier
from pathb_jax.errors import InputError
from pathb_jax.system import backend
from pathb_jax.text import suggestion

if TYPE_CHECKING:
    from pathb_jax.judging.runs import JudgedRun
    from pathb_jax.ladder.plan import LadderPlan
    from pathb_jax.ladder.protocol import Protocol
    from pathb_jax.runs.observer import Observer
    from pathb_jax.runs.outcome import RunOutcome
    from pathb_jax.store.record_schema import LadderRecord


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
    with naming_parameters():
        from pathb_jax.judging.runs import judge_run
        from pathb_jax.ladder.protocol import load_protocol

        loaded = load_protocol(protocol)
        folders = [Path(r) if isinstance(r, str | Path) else r.files.out for r in runs]
        return [judge_run(folder, loaded) for folder in folders]


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
    with naming_parameters(), contextlib.ExitStack() as stack:
        plan = _plan(protocol, out, {"tier": tier, "updates": updates, "seed": seed}, options)
        if plan.cluster is None:
            devices = backend.host_devices(plan.parallel_runs, plan.run.tier)
            stack.enter_context(
                computing(plan.backend, deterministic=plan.deterministic, host_devices=devices)
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
    named = ("protocol", "run", "out", "command")
    known = [f.name for f in dataclasses.fields(LadderPlan) if f.name not in named]
    for name, value in options.items():
        if name not in known:
            allowed = f"there is no such option; {suggestion(name, known)}"
            raise InputError(name, value, allowed)
    loaded = load_protocol(protocol) if isinstance(protocol, str) else protocol
    planned = planned_run(loaded, **run)
    return LadderPlan(loaded, planned, Path(out or default_folder(planned)), **options)
