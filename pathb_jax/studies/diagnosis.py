"""Training a protocol's default hyper-parameters, in one run or as the published segments were.

One run that is evaluated on the way, or four segments that each load the one before, as the
published Path A was trained. What they did is told by `ladder.diagnosis`.
Source: docs/spec/ladder.md, "Why".
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pathb_jax.config import RunConfig
from pathb_jax.config_checks import validated
from pathb_jax.ladder.diagnosis import segment_ends
from pathb_jax.ladder.plan import DEFAULTS, LadderPlan, evaluated_at_segment_ends

if TYPE_CHECKING:
    from pathb_jax.runs.observer import Observer
    from pathb_jax.runs.outcome import RunOutcome
    from pathb_jax.store.diagnosis_record import DiagnosisRecord
    from pathb_jax.studies.battery import PolicyFigures


def diagnosed_runs(plan: LadderPlan, *, batch: bool) -> list[RunConfig]:
    """Return the protocol's run at default hyper-parameters, and with `batch` its batch's.

    Raises:
        InputError: a label that is too long for a file's name.
    """
    runs = [plan.candidate_run(DEFAULTS)]
    if batch:
        runs += [plan.batch_run(run, DEFAULTS) for run in plan.protocol.batch]
    return [evaluated_at_segment_ends(run) for run in runs]


def segments_of(run: RunConfig) -> list[RunConfig]:
    """Return a run as four runs of which each loads the one before."""
    segments: list[RunConfig] = []
    start = 0
    for number, end in enumerate(segment_ends(run.schedule.updates), start=1):
        label = f"{run.output.run_label}_segment_{number}"
        assert run.output.out is not None  # filled in by `validated`
        output = dataclasses.replace(
            run.output,
            run_label=label,
            out=run.output.out.with_name(label),
            load_checkpoint=segments[-1].output.out if segments else None,
        )
        segment = dataclasses.replace(
            run,
            schedule=dataclasses.replace(run.schedule, updates=end - start),
            evaluation=dataclasses.replace(run.evaluation, eval_at=()),
            output=output,
        )
        segments.append(validated(segment))
        start = end
    return segments


def train_chains(
    chains: Sequence[Sequence[RunConfig]], observer: "Observer | None" = None
) -> "list[list[RunOutcome]]":
    """Train chains of runs side by side, each chain in its order up to a run that diverges.

    Args:
        chains: equally long; a run may load the one before.
        observer: told about the progress of all.

    Raises:
        InputError: a run that is there comes from another environment, and that is not accepted.
        Exception: as `train_all`.
    """
    from pathb_jax.runs.outcome import check_trained_here
    from pathb_jax.runs.side_by_side import train_all

    outcomes: list[list[RunOutcome]] = [[] for _ in chains]
    for step in range(len(chains[0])):
        going = [
            index for index, done in enumerate(outcomes) if not done or done[-1].diverged is None
        ]
        configs = [chains[index][step] for index in going]
        for position, outcome in train_all(configs, observer):
            check_trained_here(configs[position], outcome)
            outcomes[going[position]].append(outcome)
    return outcomes


def steered_by(diagnoses: "Sequence[DiagnosisRecord]", out: Path) -> "dict[str, PolicyFigures]":
    """Play the intervention battery of every best state that is kept.

    Args:
        diagnoses: of runs below `out`.
        out: the folder that checkpoints are named from.

    Returns:
        By the run's label.
    """
    from pathb_jax.evaluation.channels import SEED_START, SEEDS
    from pathb_jax.runs.subjects import checkpoint_subject
    from pathb_jax.studies.battery import figures_of, play_subjects

    kept = {
        item.label: checkpoint_subject(out / item.fall.best_checkpoint, "--out")
        for item in diagnoses
        if item.fall is not None and item.fall.best_checkpoint is not None
    }
    played = play_subjects([*kept.values()], range(SEED_START, SEED_START + SEEDS))
    return {
        label: figures_of(subject, label, battery)
        for (label, subject), battery in zip(kept.items(), played, strict=True)
    }
