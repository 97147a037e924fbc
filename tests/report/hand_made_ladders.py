"""Ladders made by hand: records of every kind, with the histories and evaluations they tell of."""

from pathlib import Path
from typing import Any

import numpy as np
from small_records import new_batch_run, new_candidate, new_record, new_summary

from pathb_jax.ladder.acceptance import judge, passed_all
from pathb_jax.ladder.diagnosis import fall_by_chance
from pathb_jax.ladder.equivalence import newcombe
from pathb_jax.ladder.failure_modes import classify
from pathb_jax.ladder.predictions import grade_predictions
from pathb_jax.ladder.protocol import load_protocol, parse_protocol, run_label
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.ladder.training_seeds import count_passes, verdict_of
from pathb_jax.report.note import write_note
from pathb_jax.store.artifacts import PINNED_HISTORY_COLUMNS, write_history
from pathb_jax.store.diagnosis_record import DiagnosisRecord, FallRecord, SegmentRecord, StateRecord
from pathb_jax.store.record import write_record
from pathb_jax.store.record_schema import (
    BackendRecord,
    LadderRecord,
    PlanRecord,
    ProtocolRecord,
    SeedOverlap,
    TrainingSeeds,
)
from pathb_jax.store.run_files import RunFiles
from pathb_jax.store.run_records import NOTHING_YET, BaselineRecord, CandidateRecord, SeedRecord

PLAN = load_protocol("path_b")
Successes = tuple[int, int, int]


def history(entropy: float) -> dict[str, np.ndarray]:
    rows = 60
    columns: dict[str, np.ndarray] = {name: np.full(rows, 0.5) for name in PINNED_HISTORY_COLUMNS}
    columns["update"] = np.arange(1, rows + 1)
    columns["env_steps"] = columns["update"] * 8192
    columns["entropy"] = np.linspace(2.0, entropy, rows)
    columns["value_loss"] = np.linspace(10.0, 900.0, rows)
    return columns


def sets(successes: Successes) -> dict[str, Any]:
    return {
        str(start): new_summary(count, clopper_pearson(count, 32))
        for start, count in zip(PLAN.seed_sets, successes, strict=True)
    }


def finish(candidate: CandidateRecord, successes: Successes, entropy: float, folder: Path) -> None:
    """Fill in a candidate as the ladder does, and write its history."""
    files = RunFiles(folder / candidate.run_dir, candidate.slug)
    columns = history(entropy)
    write_history(files.history, columns)
    calm = {**columns, "value_loss": np.full(60, 10.0)} if entropy < 2.28 else columns
    counts = {start: (count, 32) for start, count in zip(PLAN.seed_sets, successes, strict=True)}
    candidate.stages = judge(PLAN.stages, counts, calm)
    candidate.status = "adopted" if passed_all(candidate.stages) else "rejected"
    candidate.summaries = sets(successes)
    mode = classify(
        PLAN.failure_modes,
        columns,
        updates=60,
        success=counts[10000],
        alignment=0.832,
        half_alignment=0.7,
        log_std_init=-0.5,
    )
    candidate.failure_mode, candidate.failure_figures = mode.name, mode.figures
    candidate.env_steps, candidate.wall_seconds = 10002432, 71.25
    candidate.env_steps_per_second = 140385.0


def empty_record(deviations: list[str] | None = None, tier: str = "Large") -> LadderRecord:
    labels = [run_label(PLAN.run.label, candidate.tag) for candidate in PLAN.candidates]
    return new_record(
        protocol=ProtocolRecord(name=PLAN.name, sha256=PLAN.sha256, file=PLAN.file, text=PLAN.text),
        standing="exploratory" if deviations else "canonical",
        deviations=deviations or [],
        backend=BackendRecord(
            platform="cpu",
            device_kind="some | processor",
            device_count=2,
            versions={"jax": "0.10.2"},
        ),
        seed_overlap=SeedOverlap.of(20000, 64, PLAN.seed_sets, 32),
        candidates=[
            new_candidate(c.order, c.tag, dict(c.change), label, f"slug_{label}")
            for c, label in zip(PLAN.candidates, labels, strict=True)
        ],
        predictions=[prediction.id for prediction in PLAN.predictions],
        planned_hours=33.0,
        plan=PlanRecord(tier=tier, updates=1221, seed=0, env_steps=10002432),
        command="python scripts/ladder.py --tier " + tier,
    )


def conclude(record: LadderRecord) -> None:
    outcomes = {
        candidate.tag: [stage.passed for stage in candidate.stages]
        for candidate in record.candidates
        if candidate.stages
    }
    record.predictions = grade_predictions(PLAN.predictions, outcomes)
    record.compute.used_hours = 1.375


def adopted(folder: Path) -> LadderRecord:
    record = empty_record()
    finish(record.candidates[0], (7, 9, 8), 2.0, folder)
    finish(record.candidates[1], (17, 16, 20), 1.42, folder)
    record.verdict, record.adopted = "adopted", "vc0_25"
    for item in PLAN.batch:
        label = run_label(item.label, "vc0_25")
        run = new_batch_run(label, item.variant, item.mixed_lambda, f"slug_{label}")
        record.batch.append(run)
    done = record.batch[0]
    done.status, done.success_rate, done.mean_terminal_alignment = "finished", 3 / 32, 0.6
    done.summaries = sets((3, 4, 5))
    done.failure_mode = "unclassified"
    conclude(record)
    return record


def rejected(folder: Path) -> LadderRecord:
    record = empty_record(["tier: Large -> Small"], "Small")
    finish(record.candidates[0], (7, 9, 8), 2.0, folder)
    finish(record.candidates[1], (17, 13, 20), 1.42, folder)
    finish(record.candidates[2], (20, 20, 20), 2.5, folder)
    last = record.candidates[3]
    last.status, last.failure_mode = "diverged", "diverged"
    last.diverged = "value_loss at update 7"
    last.stages = judge(PLAN.stages, {}, {}, diverged=last.diverged)
    record.verdict = "rejected"
    conclude(record)
    return record


def with_other_seeds(folder: Path) -> LadderRecord:
    """Two more seeds, of which one would have adopted the first candidate."""
    record = adopted(folder)
    first, second = record.candidates[:2]
    for candidate, seed, like in [
        (first, 1, second),
        (first, 2, first),
        (second, 1, second),
        (second, 2, first),
    ]:
        other = SeedRecord(
            seed=seed,
            status="finished",
            run_dir=f"{candidate.run_dir}_seed_{seed}",
            slug="slug",
            stages=like.stages,
            **NOTHING_YET,
        )
        other.summaries, other.failure_mode = like.summaries, like.failure_mode
        candidate.other_seeds = [*candidate.other_seeds, other]
    receipts = {
        c.tag: {0: c.stages} | {s.seed: s.stages for s in c.other_seeds} for c in record.candidates
    }
    record.training_seeds = TrainingSeeds(
        seeds=[0, 1, 2],
        passes=count_passes(receipts),
        verdicts={str(seed): verdict_of(receipts, seed) for seed in (0, 1, 2)},
    )
    return record


def diagnosed(folder: Path) -> LadderRecord:
    """A rejection at Large, and a default run that fell from 12 to 5 of 32."""
    record = rejected(folder)
    record.deviations, record.standing, record.canonical = [], "canonical", True
    assert record.plan
    record.plan.tier = "Large"
    counts = {611: (0, 1), 815: (7, 6), 1018: (11, 12), 1221: (5, 5)}
    states = [
        StateRecord(
            update=update,
            env_steps=8192 * update,
            success=(chosen, 32),
            mean_terminal_alignment=0.7,
            mean_steps=180.0,
            reported=(told, 32),
        )
        for update, (chosen, told) in counts.items()
    ]
    told = {"entropy": 2.3, "log_std": -0.2, "mean_reward": -1.9, "value_loss_max": 700.0}
    label = run_label(PLAN.run.label, "defaults")
    record.baseline = BaselineRecord(
        label=label,
        success_rate=5 / 32,
        mean_terminal_alignment=0.7,
        run_dir=label,
        slug="slug",
        **NOTHING_YET,
    )
    record.baseline.diagnosis = DiagnosisRecord(
        label=PLAN.run.label,
        diverged=None,
        chosen_on=10000,
        told_on=30000,
        segments=[SegmentRecord(state=state, **told) for state in states],
        evaluations=states,
        fall=FallRecord(
            best=states[2],
            best_checkpoint=f"{label}/checkpoints/slug/1018",
            end=states[3],
            difference=-7 / 32,
            interval=[*newcombe((12, 32), (5, 32), 0.95)],
            p_value=fall_by_chance((12, 32), (5, 32)),
        ),
    )
    return record


def incomplete(folder: Path) -> LadderRecord:
    record = empty_record()
    finish(record.candidates[0], (7, 9, 8), 2.0, folder)
    record.candidates[1].status = "running"
    return record


def untouched(folder: Path) -> LadderRecord:
    return empty_record()


def written(record: LadderRecord, folder: Path, note: Path | None = None) -> str:
    write_record(folder / "ladder.json", record)
    return write_note(folder / "ladder.json", note).read_text()


KINDS = {
    "adopted": (adopted, "Adopted: vc0_25 (value_coef 0.5 -> 0.25) passed all stages."),
    "rejected": (rejected, "Rejected: none of the 4 candidates passed all stages."),
    "diagnosed": (diagnosed, "Rejected: none of the 4 candidates passed all stages."),
    "incomplete": (incomplete, "Incomplete: 1 of 4 candidates judged, no verdict yet."),
    "untouched": (untouched, "Incomplete: 0 of 4 candidates judged, no verdict yet."),
}


OWN = PLAN.text.replace('name = "path_b"', 'name = "mine"').replace(
    'tier = "Large"', 'tier = "Small"'
)


def own(record: LadderRecord, text: str) -> LadderRecord:
    """Make it the record of another protocol, without a departure."""
    plan = parse_protocol(text.encode(), "own.toml")
    record.protocol = ProtocolRecord(name=plan.name, sha256=plan.sha256, file="own.toml", text=text)
    record.standing, record.canonical, record.deviations = "registered", False, []
    record.plan = PlanRecord(tier=plan.run.tier, updates=1221, seed=0, env_steps=10002432)
    return record
