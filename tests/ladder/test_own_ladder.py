"""A ladder on an environment that is not the shadow field: stages on return, note and verification.

Pendulum's returns are negative: a threshold that a policy clears after no training, or never, makes
the outcome known.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_protocol import small_table, write_toml

import pathb_jax
from pathb_jax.cli import judge as judge_command
from pathb_jax.cli import ladder as ladder_command
from pathb_jax.errors import InputError
from pathb_jax.ladder.acceptance import judge
from pathb_jax.ladder.protocol import load_protocol
from pathb_jax.report.note import write_note
from pathb_jax.report.page import write_page
from pathb_jax.verification.verify import verify

ALIGNED = (
    "bootstrap_alignment_below",
    "collapse_alignment_at_least",
    "collapse_log_std_at_most",
    "under_budget_alignment_gain_at_least",
)


def own_table(**changes: Any) -> dict[str, Any]:
    """Return a protocol on Pendulum: two candidates, a mean return as first stage."""
    table = small_table(passes=True)
    run = table["run"]
    for name in ("variant", "mixed_lambda", "sensor_tier"):
        run.pop(name, None)
    run |= {"env": "Pendulum-v1", "success_return": -2500.0, "updates": 12, **changes}
    table["candidates"] = table["candidates"][:2]
    table["batch"] = []
    for name in ("rejection", "compute", "path_a", "programme"):
        table.pop(name, None)
    table["predictions"] = table["predictions"][:1]
    table["failure_modes"] = {
        name: value for name, value in table["failure_modes"].items() if name not in ALIGNED
    }
    table["stages"] = [
        {"kind": "return_floor", "seed_start": 10000, "threshold": -2600.0},
        {"kind": "success_floor", "seed_start": 10000, "threshold": 0.5},
        {
            "kind": "training_dynamics",
            "window": 5,
            "entropy_below": 10.0,
            "log_std_rise_at_most": 10.0,
            "value_loss_at_most": 1e9,
        },
        {"kind": "equivalence", "seed_start": 20000, "margin": 0.9, "alpha": 0.4},
    ]
    return table


def write(folder: Path, table: dict[str, Any]) -> Path:
    return write_toml(folder / "own.toml", table)


@pytest.fixture(scope="module")
def climbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("own_ladder")
    table = own_table()
    # Nobody returns more than zero, so that the first candidate fails and the second is tried.
    table["stages"][0]["threshold"] = 1.0
    protocol = write(folder, table)
    record = pathb_jax.run_ladder(str(protocol), folder / "ladder", progress=False)
    assert record.verdict == "rejected"
    return protocol, folder / "ladder"


@pytest.mark.slow
def test_a_ladder_whose_floor_is_in_reach_adopts(tmp_path: Path) -> None:
    record = pathb_jax.run_ladder(
        str(write(tmp_path, own_table())), tmp_path / "ladder", progress=False
    )
    assert (record.verdict, record.adopted) == ("adopted", record.candidates[0].tag)
    assert record.candidates[0].stages[0].name == "return_floor"
    assert record.candidates[0].failure_mode == "healthy"
    assert record.references == []
    assert record.batteries == []


def test_its_record_holds_the_returns_and_what_they_were_judged_by(
    climbed: tuple[Path, Path],
) -> None:
    record = json.loads((climbed[1] / "ladder.json").read_text())
    for candidate in record["candidates"]:
        first = candidate["stages"][0]
        summary = candidate["summaries"]["10000"]
        assert first["figures"] == {"mean_return": summary["mean_return"], "threshold": 1.0}
        assert first["reasons"] == [f"{summary['mean_return']:.3f} < 1.00"]
        assert summary["mean_terminal_alignment"] is None
    assert record["standing"] in ("registered", "exploratory")


def test_it_is_verified_and_a_changed_return_is_found(climbed: tuple[Path, Path]) -> None:
    _, folder = climbed
    found = verify(folder, replay=True)
    assert found.holds
    assert found.figures > 500
    path = folder / "ladder.json"
    text = path.read_text()
    record = json.loads(text)
    record["candidates"][1]["stages"][0]["figures"]["mean_return"] += 1.0
    path.write_text(json.dumps(record))
    try:
        problems = verify(folder, replay=False).problems
    finally:
        path.write_text(text)
    assert any("candidates[1].stages[0].figures.mean_return" in line for line in problems)


def test_its_note_and_page_speak_of_returns(climbed: tuple[Path, Path]) -> None:
    folder = climbed[1]
    note = write_note(folder / "ladder.json").read_text()
    assert "environment Pendulum-v1" in note
    assert "mean return at least 1.000" in note
    assert "| mean return | mean steps |" in note
    assert "is -2500 or more. The environment is Pendulum-v1." in note
    assert "a fresh set says the opposite" in note
    for words in ("lignment", "goal", "Oracle", "basin", "Diagnosis"):
        assert words not in note
    page = write_page(folder / "ladder.json").read_text()
    assert '<button type="button">return</button>' in page
    assert "alignment</button>" not in page
    assert "#episodes" not in page
    assert "Each run: environment Pendulum-v1, tier Small" in page


def test_judging_one_of_its_runs_says_the_same(
    climbed: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    protocol, folder = climbed
    record = json.loads((folder / "ladder.json").read_text())
    entry = record["candidates"][0]
    (judged,) = pathb_jax.judge([folder / entry["run_dir"]], str(protocol))
    assert [r.reasons for r in judged.receipts] == [s["reasons"] for s in entry["stages"]]
    assert judged.failure_mode.name == entry["failure_mode"]
    assert judge_command.main([str(folder / entry["run_dir"]), "--protocol", str(protocol)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "stage 1: a fresh set says the opposite" in printed
    assert "mixed_lambda" not in printed


def test_a_missing_or_infinite_mean_return_fails_its_stage() -> None:
    from pathb_jax.ladder.stages import ReturnFloor, Stages, SuccessFloor

    stages = Stages(
        [
            SuccessFloor(seed_start=1, threshold=0.5),
            ReturnFloor(seed_start=1, threshold=-3.25),
        ]
    )
    counts = {1: (1, 1)}
    for mean, passed, reason in (
        (-3.25, True, []),
        (-3.2500000000000004, False, ["-3.2500000000000004 < -3.25"]),
        (np.nan, False, ["no mean return on the seeds from 1"]),
    ):
        receipt = judge(stages, counts, {}, mean_returns={1: mean})[1]
        assert (receipt.passed, receipt.reasons) == (passed, reason)
    assert judge(stages, counts, {})[1].reasons == ["no mean return on the seeds from 1"]


def change(path: str, value: Any) -> Any:
    """Return what sets a field of a table, or removes it where the value is None."""

    def apply(table: dict[str, Any]) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            table = table[int(parent)] if parent.isdecimal() else table[parent]
        if value is None:
            del table[name]
        else:
            table[name] = value

    return apply


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (change("run.success_return", None), "success_return: '(missing)'"),
        (change("run.env", None), "variant: '(missing)'"),
        (change("run.variant", "reward_ppo_dense"), "variant: 'reward_ppo_dense'"),
        (change("run.sensor_tier", "noisy-field"), "sensor_tier: 'noisy-field'"),
        (change("run.mixed_lambda", 0.9), "mixed_lambda: 0.9"),
        (change("failure_modes.collapse_log_std_at_most", -1.0), "have no alignment"),
        (change("failure_modes.healthy_success_at_least", None), "healthy_success_at_least"),
        (change("batch", [{"label": "more", "variant": "reward_ppo_dense"}]), "batch"),
    ],
)
def test_a_protocol_says_what_its_environment_has_and_nothing_else(
    edit: Any, said: str, tmp_path: Path
) -> None:
    table = own_table()
    edit(table)
    with pytest.raises(InputError) as error:
        load_protocol(write(tmp_path, table))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (change("stages.0.kind", "return_floor"), "return_floor goes with run.env"),
        (change("failure_modes.bootstrap_alignment_below", None), "bootstrap_alignment_below"),
        (change("run.success_return", 1.0), "it goes with env"),
    ],
)
def test_a_protocol_of_the_shadow_field_is_held_to_what_it_was(
    edit: Any, said: str, tmp_path: Path
) -> None:
    table = small_table(passes=True)
    stages = table["stages"]
    table["stages"] = [
        {"kind": "success_floor", "seed_start": 10000, "threshold": 0.4},
        *({"kind": kind, **rule} for kind, rule in stages.items()),
    ]
    edit(table)
    with pytest.raises(InputError) as error:
        load_protocol(write(tmp_path, table))
    assert said in str(error.value)


def test_the_example_is_valid_and_tells_what_it_would_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    example = Path(__file__).parents[2] / "examples" / "pendulum.toml"
    assert ladder_command.main(["--protocol", str(example), "--check"]) == 0
    printed = capsys.readouterr().out
    assert "return_floor" in printed
    assert "1, 2, 4" in printed
    words = ["--protocol", str(example), "--with-baseline", "--out", str(tmp_path / "a")]
    assert ladder_command.main(words) == 2
    assert "a diagnosis is of the shadow field" in capsys.readouterr().err
