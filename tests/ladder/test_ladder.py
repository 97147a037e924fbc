"""The ladder's order of events, with runs that are told how they end."""

import dataclasses
import itertools

import pytest
from pretended_runs import DIVERGED, GOOD, SHIFTED, UNSTABLE, WEAK

from pathb_jax.ladder import ladder
from pathb_jax.ladder.ladder import run_ladder
from pathb_jax.ladder.opening import is_finished, open_record
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.runs import side_by_side
from pathb_jax.store.models import to_json
from pathb_jax.store.record import read_record, write_record
from pathb_jax.store.run_records import CandidateRecord

TAGS = ["lr1e4", "vc0_25", "ec0_001", "clip0_1"]
BATCH = ["mixed_0_95", "mixed_0_97", "mixed_0_99", "reward_phase3"]


@pytest.fixture
def plan(tmp_path):
    protocol = load_protocol("path_b")
    return LadderPlan(protocol, planned_run(protocol), tmp_path / "ladder", command="typed")


def statuses(record):
    return [entry.status for entry in record.candidates]


def labels(tag, *stems):
    return [f"{stem}_pathb_{tag}" for stem in stems]


@pytest.fixture
def written(monkeypatch):
    """Every record that was written, as a reader found it at that moment."""
    records = []
    write = ladder.write_record

    def spy(path, record):
        write(path, record)
        records.append(read_record(path))

    monkeypatch.setattr(ladder, "write_record", spy)
    return records


def test_the_first_pass_is_adopted_and_later_candidates_are_not_run(plan, pretend):
    runs = pretend()
    record = run_ladder(plan)
    assert statuses(record) == ["adopted", "not_run", "not_run", "not_run"]
    assert (record.verdict, record.adopted) == ("adopted", "lr1e4")
    assert runs.trained == labels("lr1e4", "mixed_0_90", *BATCH)
    assert [stage.passed for stage in record.candidates[0].stages] == [True] * 3
    assert record.candidates[1].stages == []
    assert read_record(plan.record_path) == record


def test_the_batch_trains_at_the_adopted_hyper_parameters(plan, pretend):
    runs = pretend(lr1e4=WEAK)
    record = run_ladder(plan)
    assert record.adopted == "vc0_25"
    assert [entry.label for entry in record.batch] == labels("vc0_25", *BATCH)
    assert [entry.status for entry in record.batch] == ["finished"] * 4
    configs = [runs.configs[label] for label in labels("vc0_25", *BATCH)]
    assert [c.hparams.mixed_lambda for c in configs] == [0.95, 0.97, 0.99, 1.0]
    assert [c.task.variant for c in configs] == [
        *["mixed_ppo_phase3_lambda_0_9"] * 3,
        "reward_ppo_phase3",
    ]
    for config in configs:
        assert config.hparams.value_coef == 0.25
        assert config.hparams.lr == 3e-4
        assert config.schedule.updates == 1221
        assert config.output.out == plan.out / config.output.run_label


def test_each_candidate_changes_one_knob_of_the_same_run(plan, pretend):
    runs = pretend(**dict.fromkeys(TAGS, WEAK))
    record = run_ladder(plan)
    changes = {}
    for entry in record.candidates:
        config = runs.configs[entry.run_dir]
        defaults = vars(type(config.hparams)(mixed_lambda=0.9))
        found = vars(config.hparams)
        changes[entry.tag] = {k: v for k, v in found.items() if v != defaults[k]}
        assert entry.hparams == changes[entry.tag]
        assert config.train.tier == "Large"
        assert config.schedule.seed == 0
        assert config.output.load_checkpoint is None
        assert config.schedule.updates * config.train.batch_size == 10_002_432
        assert config.evaluation.eval_seed_start == (10000, 20000, 30000)
        assert config.evaluation.eval_seeds == 32
    assert changes == {
        "lr1e4": {"lr": 1e-4},
        "vc0_25": {"value_coef": 0.25},
        "ec0_001": {"entropy_coef": 0.001},
        "clip0_1": {"clip_range": 0.1},
    }


def test_all_failing_is_a_rejection_and_no_batch(plan, pretend):
    runs = pretend(**dict.fromkeys(TAGS, WEAK))
    record = run_ladder(plan)
    assert statuses(record) == ["rejected"] * 4
    assert (record.verdict, record.adopted, record.batch) == ("rejected", None, [])
    assert runs.trained == [f"mixed_0_90_pathb_{tag}" for tag in TAGS]
    assert [entry.order for entry in record.candidates] == [1, 2, 3, 4]
    first = record.candidates[0].stages[0]
    assert first.figures["success_rate"] == 7 / 32
    assert first.reasons == ["0.219 < 0.40"]


@pytest.mark.parametrize(
    ("figures", "passed"),
    [(WEAK, [False, None, None]), (UNSTABLE, [True, False, None]), (SHIFTED, [True, True, False])],
)
def test_the_first_failed_stage_rejects(plan, pretend, figures, passed):
    pretend(lr1e4=figures)
    record = run_ladder(plan)
    assert [stage.passed for stage in record.candidates[0].stages] == passed
    assert statuses(record)[:2] == ["rejected", "adopted"]


def test_a_diverged_candidate_is_recorded_and_the_next_one_runs(plan, pretend):
    pretend(lr1e4=DIVERGED)
    record = run_ladder(plan)
    assert statuses(record) == ["diverged", "adopted", "not_run", "not_run"]
    entry = record.candidates[0]
    assert entry.failure_mode == "diverged"
    assert "value_loss not finite at update 7" in entry.diverged
    assert entry.stages[0].passed is False
    assert entry.env_steps == 6 * 8192
    assert entry.summaries == {}


def test_a_batch_run_changes_no_verdict(plan, pretend):
    pretend(
        mixed_0_95_pathb_lr1e4=WEAK,
        mixed_0_97_pathb_lr1e4=DIVERGED,
        reward_phase3_pathb_lr1e4={**WEAK, "success": {10000: 0, 20000: 0, 30000: 0}},
    )
    record = run_ladder(plan)
    assert (record.verdict, record.adopted) == ("adopted", "lr1e4")
    batch = {entry.label.split("_pathb")[0]: entry for entry in record.batch}
    assert batch["mixed_0_95"].success_rate == 7 / 32
    assert batch["mixed_0_97"].status == "diverged"
    assert batch["mixed_0_97"].success_rate is None
    assert batch["mixed_0_99"].success_rate == 20 / 32
    assert batch["reward_phase3"].success_rate == 0
    assert [entry.status for entry in record.batch].count("finished") == 3


@pytest.mark.parametrize(
    ("figures", "grades"),
    [
        ({}, ["confirmed", "confirmed", "confirmed"]),
        ({"lr1e4": WEAK}, ["falsified", "untested", "confirmed"]),
        ({"lr1e4": WEAK, "vc0_25": SHIFTED}, ["falsified", "untested", "falsified"]),
        ({"lr1e4": UNSTABLE}, ["confirmed", "falsified", "confirmed"]),
        ({"lr1e4": DIVERGED}, ["falsified", "untested", "confirmed"]),
        (dict.fromkeys(TAGS, WEAK), ["falsified", "untested", "untested"]),
    ],
)
def test_predictions_are_graded(plan, pretend, figures, grades):
    pretend(**figures)
    assert list(run_ladder(plan).predictions.values()) == grades


def test_the_record_says_what_training_cost(plan, pretend):
    pretend(lr1e4=WEAK)
    record = run_ladder(plan)
    assert record.compute.used_hours == pytest.approx(0.1 * 6)  # 2 candidates, batch of 4
    assert record.compute.planned_hours == 33 + 25
    entry = record.candidates[0]
    assert entry.env_steps == 10_002_432
    assert entry.env_steps_per_second == pytest.approx(10_002_432 / 360)


def test_the_record_states_the_seed_overlap_and_the_sets(plan, pretend):
    pretend()
    record = run_ladder(plan)
    assert to_json(record.seed_overlap) == {
        "training": [20000, 20063],
        "sets": {"10000": 0, "20000": 32, "30000": 0},
    }
    summaries = record.candidates[0].summaries
    assert list(summaries) == ["10000", "20000", "30000"]
    low, high = summaries["10000"].interval
    assert 0.43 < low < 20 / 32 < high < 0.80
    assert record.command == "typed"
    assert record.protocol.sha256 == plan.protocol.sha256


def test_the_third_set_does_not_vote(plan, pretend):
    pretend(lr1e4={"success": {10000: 20, 20000: 20, 30000: 0}})
    assert run_ladder(plan).adopted == "lr1e4"


def test_every_record_on_the_way_is_whole_and_takes_nothing_back(plan, pretend, written):
    pretend(lr1e4=WEAK)
    final = run_ladder(plan)
    assert written[0].candidates[0].status == "running"
    assert written[-1] == final
    # Statuses only go forward, and a verdict stays.
    order = {"not_run": 0, "running": 1}
    for before, after in itertools.pairwise(written):
        for old, new in zip(
            before.candidates + before.batch,
            after.candidates + after.batch,
            strict=False,
        ):
            if isinstance(old, CandidateRecord):
                assert order.get(new.status, 2) >= order.get(old.status, 2)
        if before.verdict != "incomplete":
            assert after.verdict == before.verdict
    running = [sum(s == "running" for s in statuses(record)) for record in written]
    assert max(running) == 1
    judged = [record for record in written if statuses(record)[:2] == ["rejected", "running"]]
    assert judged
    assert judged[0].verdict == "incomplete"
    assert judged[0].predictions["GG1"] == "falsified"


def test_skipping_the_batch_and_training_it_later(plan, pretend, tmp_path):
    runs = pretend(lr1e4=WEAK)
    without = dataclasses.replace(plan, skip_batch=True)
    record = run_ladder(without)
    assert (record.verdict, record.adopted) == ("adopted", "vc0_25")
    assert [entry.status for entry in record.batch] == ["not_run"] * 4
    assert is_finished(without, record)
    assert not is_finished(plan, record)
    climbed = list(runs.trained)
    later = run_ladder(plan)
    assert runs.trained[len(climbed) :] == labels("vc0_25", *BATCH)
    at_once = run_ladder(dataclasses.replace(plan, out=tmp_path / "other"))
    assert later == at_once


def test_a_finished_ladder_trains_nothing(plan, pretend):
    pretend(lr1e4=WEAK)
    record = run_ladder(plan)
    before = plan.record_path.read_bytes()
    runs = pretend(**dict.fromkeys(TAGS, UNSTABLE))
    assert run_ladder(plan) == record
    assert runs.configs == {}
    assert plan.record_path.read_bytes() == before


def test_a_ladder_killed_before_its_last_lines_is_not_finished(plan, pretend):
    pretend(lr1e4=WEAK)
    record = run_ladder(plan)
    write_record(plan.record_path, record.model_copy(update={"ended": None}))
    assert not is_finished(plan, open_record(plan))
    assert run_ladder(plan) == record


def test_opening_a_record_writes_nothing(plan):
    record = open_record(plan)
    assert statuses(record) == ["not_run"] * 4
    assert record.verdict == "incomplete"
    assert not plan.out.exists()


# More than one training seed, and candidates that train before their turn.


def seeded(tag, seed):
    return f"mixed_0_90_pathb_{tag}_seed_{seed}"


def test_other_seeds_are_reported_and_do_not_vote(plan, pretend):
    figures = {
        "lr1e4": WEAK,
        seeded("lr1e4", 1): GOOD,
        seeded("lr1e4", 2): UNSTABLE,
        "vc0_25": GOOD,
        seeded("vc0_25", 1): SHIFTED,
        seeded("vc0_25", 2): DIVERGED,
    }
    runs = pretend(**figures)
    record = run_ladder(dataclasses.replace(plan, train_seeds=3))
    assert (record.verdict, record.adopted) == ("adopted", "vc0_25")
    assert statuses(record) == ["rejected", "adopted", "not_run", "not_run"]
    assert record.standing == "canonical"
    first, second = record.candidates[:2]
    assert [item.seed for item in first.other_seeds] == [1, 2]
    assert [item.status for item in second.other_seeds] == ["finished", "diverged"]
    assert second.other_seeds[1].failure_mode == "diverged"
    for entry in (first, second):
        for item in entry.other_seeds:
            assert item.run_dir == seeded(entry.tag, item.seed)
            assert runs.configs[item.run_dir].schedule.seed == item.seed
            assert f"_seed_{item.seed}_" in item.slug
    told = record.training_seeds
    assert told.seeds == [0, 1, 2]
    passed = {(p.tag, p.stage): (p.passed, p.seeds) for p in told.passes}
    assert passed == {
        ("lr1e4", 1): (2, 3),
        ("lr1e4", 2): (1, 3),
        ("lr1e4", 3): (1, 3),
        ("vc0_25", 1): (2, 3),
        ("vc0_25", 2): (2, 3),
        ("vc0_25", 3): (1, 3),
    }
    assert told.verdicts == {"0": "adopted vc0_25", "1": "adopted lr1e4", "2": "open"}
    assert record.predictions["GG1"] == "falsified"


def test_more_seeds_may_be_asked_of_a_finished_ladder(plan, pretend):
    runs = pretend(lr1e4=WEAK)
    before = run_ladder(plan)
    more = dataclasses.replace(plan, train_seeds=2)
    assert is_finished(plan, before)
    assert not is_finished(more, before)
    trained = list(runs.trained)
    after = run_ladder(more)
    assert runs.trained[len(trained) :] == [seeded("lr1e4", 1), seeded("vc0_25", 1)]
    assert {
        k: v
        for k, v in to_json(after).items()
        if k not in ("candidates", "training_seeds", "compute")
    } == {k: v for k, v in to_json(before).items() if k not in ("candidates", "compute")}
    assert is_finished(more, after)


def test_speculation_judges_as_if_one_after_another(plan, pretend, tmp_path):
    figures = {"lr1e4": WEAK, "ec0_001": UNSTABLE, "clip0_1": GOOD}
    runs = pretend(**figures)
    one_by_one = run_ladder(plan)
    runs = pretend(**figures)
    together = run_ladder(dataclasses.replace(plan, speculative=True, out=tmp_path / "other"))
    assert runs.trained[:4] == [f"mixed_0_90_pathb_{tag}" for tag in TAGS]
    assert statuses(together) == ["rejected", "adopted", "informative", "informative"]
    assert (together.verdict, together.adopted) == ("adopted", "vc0_25")
    assert together.predictions == one_by_one.predictions
    assert together.candidates[:2] == one_by_one.candidates[:2]
    assert together.batch == one_by_one.batch
    assert [stage.passed for stage in together.candidates[2].stages] == [True, False, None]
    assert together.deviations == ["execution: one candidate after another -> speculative"]
    assert together.standing == "exploratory"


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [1, 3, 0, 2]])
def test_the_order_in_which_runs_end_decides_nothing(plan, pretend, tmp_path, order, monkeypatch):
    figures = {"lr1e4": DIVERGED, "vc0_25": SHIFTED, "clip0_1": WEAK}
    speculative = dataclasses.replace(plan, speculative=True)
    pretend(**figures)
    expected = run_ladder(speculative)
    train_all = side_by_side.train_all

    def shuffled(*arguments):
        ended = list(train_all(*arguments))
        yield from [ended[position] for position in order]

    monkeypatch.setattr(side_by_side, "train_all", shuffled)
    record = run_ladder(dataclasses.replace(speculative, out=tmp_path / "other"))
    assert record == expected
    assert record.adopted == "ec0_001"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"matmul_precision": "tf32"}, "matmul_precision: float32 -> tf32"),
        ({"deterministic": False}, "deterministic: True -> False"),
        ({"runs_per_device": 4}, "runs_per_device: 1 -> 4"),
        ({"parallel_runs": 2}, None),
    ],
)
def test_what_changes_bits_is_a_departure(plan, asked, said):
    record = open_record(dataclasses.replace(plan, **asked))
    assert record.deviations == ([said] if said else [])
    assert record.canonical is (said is None)


def test_stopped_speculation_ends_with_the_same_record(plan, pretend, tmp_path):
    figures = {"lr1e4": WEAK}
    asked = {"speculative": True, "train_seeds": 2}
    pretend(**figures)
    whole = run_ladder(dataclasses.replace(plan, **asked))
    for label in ("mixed_0_90_pathb_lr1e4", seeded("vc0_25", 1), "mixed_0_97_pathb_vc0_25"):
        runs = pretend(**figures)
        stopped = dataclasses.replace(plan, **asked, out=tmp_path / label)
        runs.stop_at = label
        with pytest.raises(KeyboardInterrupt):
            run_ladder(stopped)
        assert not is_finished(stopped, read_record(stopped.record_path))
        pretend(**figures)
        assert run_ladder(stopped) == whole
