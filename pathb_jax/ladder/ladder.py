"""The ladder: candidates one after another, each against the stages, the first pass adopted.

Drives runs and writes the record; what a run says is decided in `grading` from the numbers it left
in its files, so that taking the ladder up again gives the same record.
Source: docs/spec/ladder.md.
"""

from collections.abc import Callable, Iterator, Sequence

from pathb_jax.config import RunConfig
from pathb_jax.ladder import verifying
from pathb_jax.ladder.batteries import play_batteries
from pathb_jax.ladder.evidence import baseline_is_done, take_up
from pathb_jax.ladder.grading import (
    add_other_seed,
    count_hours,
    count_seeds,
    fill_baseline,
    fill_batch_run,
    judge_in_order,
)
from pathb_jax.ladder.opening import is_done, is_finished, open_record
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.references import play_references
from pathb_jax.ladder.schema import Candidate
from pathb_jax.runs import side_by_side
from pathb_jax.runs.observer import Observer
from pathb_jax.runs.outcome import RunOutcome, run_files
from pathb_jax.store.lock import locked
from pathb_jax.store.record import write_record
from pathb_jax.store.record_schema import LadderRecord
from pathb_jax.store.run_records import NOTHING_YET, BaselineRecord, BatchRecord
from pathb_jax.system import provenance

Recorded = Callable[[], object]
"""Called whenever the record has a run more."""


def run_ladder(
    plan: LadderPlan, observer: Observer | None = None, recorded: Recorded | None = None
) -> LadderRecord:
    """Run the ladder to its verdict, or take it up where it was stopped.

    Args:
        plan: what to run.
        observer: told about the progress of each run.
        recorded: called after every run that the record took up, such as to write a note.

    Returns:
        The finished record; it is written after every step.

    Raises:
        InputError: as `open_record`, or a run's folder holds something else.
    """
    observer = observer or Observer()
    if is_finished(plan, record := open_record(plan)):
        verifying.look_again(plan, record)
        return record
    with locked(plan.out):
        record = open_record(plan)
        verifying.look_back(plan, observer)
        _run_locked(plan, record, observer, recorded or (lambda: None))
        if plan.run.env is None:  # both are about the shadow field
            record.references = record.references or play_references(plan)
            record.batteries = play_batteries(plan, record)
        record.ended = provenance.utc_now()
        write_record(plan.record_path, record)
        verifying.conclude(plan, record)
    return record


def _run_locked(
    plan: LadderPlan, record: LadderRecord, observer: Observer, recorded: Recorded
) -> None:
    record.ended = None
    adopted = _climb(plan, record, observer, recorded)
    if adopted is None:
        record.verdict = "rejected"
    else:
        record.verdict, record.adopted = "adopted", adopted.tag
    chosen = next((c for c in plan.protocol.candidates if c.tag == record.chosen), None)
    if chosen is not None:
        _open_batch(plan, record, chosen)
        if not plan.skip_batch:
            _run_batch(plan, record, chosen, observer, recorded)
    if plan.with_baseline and not baseline_is_done(record):
        _run_baseline(plan, record, observer, recorded)


def _open_batch(plan: LadderPlan, record: LadderRecord, chosen: Candidate) -> None:
    """List the runs that follow an adoption, if they are not listed yet."""
    if not record.batch:
        for batch_run in plan.protocol.batch:
            config = plan.batch_run(batch_run, chosen)
            slug = run_files(config).slug
            label = config.output.run_label
            record.batch.append(
                BatchRecord(
                    label=label,
                    success_rate=None,
                    mean_terminal_alignment=None,
                    status="not_run",
                    variant=batch_run.variant,
                    mixed_lambda=batch_run.mixed_lambda,
                    run_dir=label,
                    slug=slug,
                    **NOTHING_YET,
                )
            )
    write_record(plan.record_path, record)


def _climb(
    plan: LadderPlan, record: LadderRecord, observer: Observer, recorded: Recorded
) -> Candidate | None:
    """Train candidates and judge them in order; return the first that passes all stages.

    Speculatively all train at once; else a candidate trains only if those before it failed.
    """
    candidates = plan.protocol.candidates
    groups = [candidates] if plan.speculative else [(candidate,) for candidate in candidates]
    for group in groups:
        _train_group(plan, record, group, observer, recorded)
        if (adopted := _adopted(plan, record)) in group:
            return adopted
    return None


def _adopted(plan: LadderPlan, record: LadderRecord) -> Candidate | None:
    return next(
        (
            candidate
            for candidate, entry in zip(plan.protocol.candidates, record.candidates, strict=True)
            if entry.status == "adopted"
        ),
        None,
    )


def _train_group(
    plan: LadderPlan,
    record: LadderRecord,
    group: Sequence[Candidate],
    observer: Observer,
    recorded: Recorded,
) -> None:
    """Train these candidates with all seeds; judge each as soon as those before it are."""
    entries = {entry.tag: entry for entry in record.candidates}
    pending = [candidate for candidate in group if not is_done(plan, entries[candidate.tag])]
    if not pending:
        return
    for candidate in pending:
        if not entries[candidate.tag].stages:
            entries[candidate.tag].status = "running"
    write_record(plan.record_path, record)
    items = [(candidate, seed) for seed in plan.seeds for candidate in pending]
    configs = [plan.candidate_run(candidate, seed) for candidate, seed in items]
    first: dict[str, RunOutcome] = {}
    for position, outcome in _train_all(plan, configs, observer):
        candidate, seed = items[position]
        take_up(plan, record, outcome)
        if seed == plan.run.seed:
            first[candidate.tag] = outcome
        else:
            add_other_seed(plan, record, entries[candidate.tag], seed, outcome)
        judge_in_order(plan, record, first)
        count_seeds(plan, record)
        count_hours(record)
        write_record(plan.record_path, record)
        recorded()


def _train_all(
    plan: LadderPlan, configs: Sequence[RunConfig], observer: Observer
) -> Iterator[side_by_side.Finished]:
    return side_by_side.train_all(
        configs, observer, plan.parallel_runs, plan.runs_per_device, plan.cluster
    )


def _run_batch(
    plan: LadderPlan,
    record: LadderRecord,
    chosen: Candidate,
    observer: Observer,
    recorded: Recorded,
) -> None:
    """Train what follows an adoption; nothing here changes the verdict."""
    entries = record.batch
    for entry in entries:
        if entry.status == "not_run":
            entry.status = "running"
    write_record(plan.record_path, record)
    configs = [plan.batch_run(batch_run, chosen) for batch_run in plan.protocol.batch]
    for position, outcome in _train_all(plan, configs, observer):
        entry = entries[position]
        take_up(plan, record, outcome)
        fill_batch_run(plan, record, entry, outcome)
        count_hours(record)
        write_record(plan.record_path, record)
        recorded()


def _run_baseline(
    plan: LadderPlan, record: LadderRecord, observer: Observer, recorded: Recorded
) -> None:
    """Train the default run, and say what it did; nothing here changes the verdict.

    A baseline among the candidates that was trained already is only read.
    """
    config = plan.candidate_run(plan.baseline)
    label = config.output.run_label
    record.baseline = BaselineRecord(
        label=label,
        success_rate=None,
        mean_terminal_alignment=None,
        status="running",
        variant=plan.run.variant,
        mixed_lambda=plan.run.mixed_lambda,
        run_dir=label,
        slug=run_files(config).slug,
        **NOTHING_YET,
    )
    write_record(plan.record_path, record)
    for _, outcome in _train_all(plan, [config], observer):
        take_up(plan, record, outcome)
        fill_baseline(plan, record, record.baseline, outcome)
        count_hours(record)
        write_record(plan.record_path, record)
        recorded()
