"""The protocol file: pinned numbers, strictness, differences and standing."""

import copy
import hashlib
import json
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from pathb_jax.errors import InputError
from pathb_jax.ladder import protocol as module
from pathb_jax.ladder.protocol import (
    is_shipped,
    load_protocol,
    parse_protocol,
    plan_deviations,
    planned_run,
    protocol_differences,
    run_label,
    standing,
)
from pathb_jax.store.models import to_json

SHIPPED = (resources.files("pathb_jax") / "protocols" / "path_b.toml").read_bytes()
TABLE = tomllib.loads(SHIPPED.decode())
PIN = "bf65ad9983455d68114a754086baf5d61dc9206d3ba6167d3f91b72737a0e2d4"


def toml(value: Any) -> str:
    """Return a TOML inline value (JSON differs only in tables)."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)


def parse(table: dict[str, Any]) -> Any:
    return parse_protocol(
        "\n".join(f"{k} = {toml(v)}" for k, v in table.items()).encode(), "p.toml"
    )


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every table entry, tables included."""
    if isinstance(value, dict):
        inside = [leaves(item, (*path, key)) for key, item in value.items()]
        here = [path] if path and isinstance(path[-1], str) else []
        return [*here, *(leaf for paths in inside for leaf in paths)]
    if isinstance(value, list):
        inside = [leaves(item, (*path, index)) for index, item in enumerate(value)]
        return [path, *(leaf for paths in inside for leaf in paths)]
    return [path]


def named(path: tuple[Any, ...]) -> str:
    """Return the path as messages name it: candidates[0].tag."""
    return re.sub(r"\.\[", "[", ".".join(f"[{p}]" if isinstance(p, int) else p for p in path))


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    table = copy.deepcopy(TABLE)
    holder = table
    for step in path[:-1]:
        holder = holder[step]
    if value is None:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return table


def at(path: tuple[Any, ...]) -> Any:
    value: Any = TABLE
    for step in path:
        value = value[step]
    return value


PATHS = leaves(TABLE)
OPTIONAL = [("rejection",), ("compute",), ("path_a",), ("programme",)]
THIRD = ("evaluation", "third_seed_start")
FIELDS = [path for path in PATHS if isinstance(path[-1], str) and path not in [*OPTIONAL, THIRD]]
NUMBERS = [path for path in PATHS if isinstance(at(path), int | float)]


def test_shipped_protocol_is_pinned() -> None:
    assert b"\r" not in SHIPPED
    assert hashlib.sha256(SHIPPED).hexdigest() == PIN
    assert module.SHIPPED_SHA256 == {"path_b": PIN}
    assert load_protocol("path_b").sha256 == PIN


def test_shipped_protocol_states_the_ladder_page() -> None:
    plan = load_protocol("path_b")
    assert [(c.order, c.tag, c.change) for c in plan.candidates] == [
        (1, "lr1e4", {"lr": 1e-4}),
        (2, "vc0_25", {"value_coef": 0.25}),
        (3, "ec0_001", {"entropy_coef": 0.001}),
        (4, "clip0_1", {"clip_range": 0.1}),
    ]
    run = plan.run
    assert (run.variant, run.mixed_lambda, run.tier, run.updates, run.seed, run.env_steps) == (
        "mixed_ppo_phase3_lambda_0_9",
        0.90,
        "Large",
        1221,
        0,
        10_002_432,
    )
    stages = plan.stages
    assert tuple(dict(stages.success_floor).values()) == (10000, 0.40)
    assert tuple(dict(stages.training_dynamics).values()) == (50, 2.28, 0.0, 400.0)
    assert tuple(dict(stages.seed_shift).values()) == (20000, 0.10)
    assert (plan.seed_sets, plan.evaluation.seeds) == ((10000, 20000, 30000), 32)
    assert [run_label(b.label, "vc0_25") for b in plan.batch] == [
        "mixed_0_95_pathb_vc0_25",
        "mixed_0_97_pathb_vc0_25",
        "mixed_0_99_pathb_vc0_25",
        "reward_phase3_pathb_vc0_25",
    ]
    assert run_label(run.label, "lr1e4") == "mixed_0_90_pathb_lr1e4"
    assert plan.hparams_of(plan.candidates[1]) == {
        "lr": 3e-4,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "clip_range": 0.2,
        "entropy_coef": 0.01,
        "value_coef": 0.25,
        "max_grad_norm": 0.5,
    }


def test_line_ends_do_not_matter_and_copies_are_shipped_too(tmp_path: Path) -> None:
    path = tmp_path / "copy.toml"
    path.write_bytes(SHIPPED.replace(b"\n", b"\r\n"))
    plan = load_protocol(path)
    assert plan.sha256 == PIN
    assert is_shipped(plan)
    assert plan.file == "copy.toml"
    assert parse_protocol(plan.text.encode(), plan.file) == plan


def test_a_stored_protocol_is_read_whole() -> None:
    """The protocol of a small ladder; what was read is what the file says."""
    path = Path(__file__).parents[1] / "stored" / "protocol.toml"
    table = tomllib.loads(path.read_text())
    content = to_json(load_protocol(path))
    assert {name: content[name] for name in table} == table


def test_rebuilt_table_reads_the_same() -> None:
    assert protocol_differences(load_protocol("path_b"), parse(TABLE))[0].startswith("comments")


@pytest.mark.parametrize("path", FIELDS, ids=named)
def test_missing_field(path: tuple[Any, ...]) -> None:
    with pytest.raises(InputError) as raised:
        parse(changed(path, None))
    knob = path[-2:-1] == ("change",)  # the only knob of its table: then the table is empty
    assert raised.value.field == f"protocol p.toml: {named(path[:-1] if knob else path)}"


def test_what_decides_nothing_may_be_left_out() -> None:
    table = {key: value for key, value in TABLE.items() if (key,) not in OPTIONAL}
    plan = parse(table)
    assert (plan.rejection, plan.compute, plan.path_a, plan.programme) == (None, None, None, ())
    differences = protocol_differences(load_protocol("path_b"), plan)
    assert "compute.batch_hours: 25.0 -> (absent)" in differences
    assert not [line for line in differences if "None" in line]


def test_what_is_told_has_a_tier_of_its_own() -> None:
    shipped, copy_ = load_protocol("path_b"), parse(TABLE)
    assert shipped.path_a
    assert copy_.path_a
    assert shipped.tier_of(shipped.path_a) == "Large"  # the file cannot say: its SHA-256 is fixed
    assert copy_.tier_of(copy_.path_a) is None
    for path in (("rejection", "tier"), ("path_a", "tier"), ("programme", 0, "tier")):
        plan = parse(changed(path, "Medium"))
        told = {"rejection": plan.rejection, "path_a": plan.path_a, "programme": plan.programme[0]}
        part = told[path[0]]
        assert part
        assert plan.tier_of(part) == "Medium"
        with pytest.raises(InputError, match=re.escape(named(path))):
            parse(changed(path, "Huge"))


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_ill_typed_field(path: tuple[Any, ...]) -> None:
    wrong: list[Any] = [True, 3] if isinstance(at(path), str | dict | list) else ["7", True, {}]
    for value in wrong:
        with pytest.raises(InputError) as raised:
            parse(changed(path, value))
        assert raised.value.field == f"protocol p.toml: {named(path)}"


@pytest.mark.parametrize("path", NUMBERS, ids=named)
def test_number_out_of_range_or_not_finite(path: tuple[Any, ...]) -> None:
    value = at(path)
    wrong = [1e300, -1e300, 10**40, float("nan"), float("inf")]
    for number in [*wrong, *([0.5] if isinstance(value, int) else [])]:
        with pytest.raises(InputError) as raised:
            parse(changed(path, number))
        assert raised.value.field == f"protocol p.toml: {named(path)}"
        assert len(str(raised.value)) < 400


TABLES = [("run",), ("stages",), ("stages", "seed_shift"), ("candidates", 1), ("path_a",), ()]


@pytest.mark.parametrize("path", TABLES, ids=named)
def test_unknown_field(path: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match=re.escape(named((*path, "colour")))):
        parse(changed((*path, "colour"), 1))


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("candidates", 1, "order"), 1, "candidates[1].order"),
        (("candidates", 1, "tag"), "lr1e4", "candidates[1].tag"),
        (("candidates", 1, "tag"), "Vc", "candidates[1].tag"),
        (("candidates", 1, "tag"), "../up", "candidates[1].tag"),
        (("candidates", 0, "change"), {}, "candidates[0].change"),
        (("candidates", 0, "change"), {"lr": 3e-4}, "candidates[0].change.lr"),
        (("candidates", 0, "change"), {"momentum": 0.9}, "candidates[0].change.momentum"),
        (("candidates", 0, "change"), {"lr": 0.0}, "candidates[0].change.lr"),
        (("candidates",), [], "candidates"),
        (("run", "updates"), 49, "run.updates"),
        (("run", "minibatch_size"), 255, "run.minibatch_size"),
        (("run", "variant"), "curriculum_sig_then_reward", "run.variant"),
        (("run", "variant"), "reward_ppo_phase3", "run.mixed_lambda"),
        (("run", "mixed_lambda"), 1.0, "run.mixed_lambda"),
        (("run", "mixed_lambda"), 0.0, "run.mixed_lambda"),
        (("run", "label"), "mixed_0_95", "batch[0].label"),
        (("run", "seed_start"), 2**32 - 10, "run.seed_start"),
        (("batch", 3, "mixed_lambda"), 0.5, "batch[3].mixed_lambda"),
        (("stages", "seed_shift", "seed_start"), 10031, "stages.seed_shift.seed_start"),
        (("evaluation", "third_seed_start"), 20001, "evaluation.third_seed_start"),
        (("predictions", 1, "id"), "GG1", "predictions[1].id"),
        (("predictions", 1, "candidate"), "lr2", "predictions[1].candidate"),
        (("predictions", 1, "stage"), 4, "predictions[1].stage"),
        (("compute", "candidate_hours"), [1.0], "compute.candidate_hours"),
        (("path_a", "best"), "ext9", "path_a.best"),
        (("rejection", "finding"), "two\nlines", "rejection.finding"),
    ],
)
def test_what_makes_no_sense(path: tuple[Any, ...], value: Any, field: str) -> None:
    with pytest.raises(InputError) as raised:
        parse(changed(path, value))
    assert raised.value.field == f"protocol p.toml: {field}"


def test_broken_files(tmp_path: Path) -> None:
    broken = {
        "half.toml": b"[run",
        "latin.toml": SHIPPED + "# \xe4".encode("latin-1"),
        "deep.toml": b"a = " + b"[" * 5000,
        "huge.toml": b"a = " + b"9" * 5000,
        "empty.toml": b"",
    }
    for name, data in broken.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=name):
            load_protocol(tmp_path / name)
    for absent in (tmp_path, tmp_path / "none.toml", "nope", "", "a\0b", "/dev/null", "x" * 5000):
        with pytest.raises(InputError, match="--protocol"):
            load_protocol(absent)


def test_candidates_run_in_their_order() -> None:
    table = copy.deepcopy(TABLE)
    table["candidates"].reverse()
    assert [c.order for c in parse(table).candidates] == [1, 2, 3, 4]


def test_differences_are_named() -> None:
    old = load_protocol("path_b")
    new = parse(changed(("stages", "success_floor", "threshold"), 0.35))
    assert protocol_differences(old, new) == ["stages.success_floor.threshold: 0.4 -> 0.35"]
    fewer = copy.deepcopy(TABLE)
    del fewer["batch"][3]
    assert protocol_differences(old, parse(fewer)) == [
        "batch.3.label: reward_phase3 -> (absent)",
        "batch.3.variant: reward_ppo_phase3 -> (absent)",
    ]
    assert protocol_differences(old, old) == []


def test_planned_run_and_deviations() -> None:
    plan = load_protocol("path_b")
    assert plan_deviations(plan, planned_run(plan)) == []
    assert plan_deviations(plan, planned_run(plan, tier="Large", updates=1221, seed=0)) == []
    run = planned_run(plan, tier="Small", updates=122, seed=3)
    assert plan_deviations(plan, run) == [
        "tier: Large -> Small",
        "updates: 1221 -> 122",
        "seed: 0 -> 3",
    ]
    for asked in ({"updates": 49}, {"tier": "Huge"}, {"seed": -1}, {"updates": 10**12}):
        with pytest.raises(InputError, match=f"^--{next(iter(asked))}: "):
            planned_run(plan, **asked)


def test_standing() -> None:
    shipped = load_protocol("path_b")
    own = parse(changed(("run", "updates"), 100))
    assert standing(shipped, []) == "canonical"
    assert standing(own, []) == "registered"
    assert standing(shipped, ["tier: Large -> Small"]) == "exploratory"
    assert standing(own, ["seed: 0 -> 1"]) == "exploratory"


HOSTILE = {
    "dotted key of 5 000 parts": b"a." * 5000 + b"a = 1",
    "header of 5 000 parts": b"[" + b"a." * 5000 + b"a]",
    "dotted key of 5 000 parts in a table": b"[run]\n" + b"a . " * 5000 + b"a = 1",
    "parts of many headers": b"\n".join(b"[" + b"a." * 900 + b"a%d]" % i for i in range(60)),
    "5 000 nested arrays": b"a = " + b"[" * 5000 + b"]" * 5000,
    "5 000 nested tables": b"a = " + b"{a=" * 5000 + b"1" + b"}" * 5000,
    "6 000 digits": b"a = " + b"9" * 6000,
    "4 000 digits": b"a = " + b"9" * 4000,
    "6 000 hexadecimal digits": b"a = 0x" + b"f" * 6000,
    "6 000 hexadecimal digits in an array": b"a = [0x" + b"f" * 6000 + b"]",
    "6 000 digits after the point": b"a = 0." + b"9" * 6000,
    "an exponent": b"a = 1e999999999999",
    "one line of a megabyte": b"a = '" + b"x" * 2**20 + b"'",
    "no lines": b"\x00" * 1000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(InputError) as raised:
        load_protocol(path)
    assert len(str(raised.value)) < 600
    # As the value of a field that there is, too: a number in the place of text, text of a number.
    for field in (b"updates", b"tier", b"change", b"candidate_hours", b"code_changes"):
        lines = SHIPPED.split(b"\n")
        at = next(i for i, line in enumerate(lines) if line.startswith(field + b" = "))
        value = HOSTILE[name].partition(b" = ")[2]
        if value:
            lines[at] = field + b" = " + value
            path.write_bytes(b"\n".join(lines))
            with pytest.raises(InputError):
                load_protocol(path)


def test_a_file_of_six_gigabytes_is_not_read(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "own.toml"
    with path.open("wb") as stream:
        stream.truncate(6 * 2**30)
    reads: list[int] = []
    monkeypatch.setattr(module, "parse_protocol", lambda data, file: reads.append(len(data)))
    with pytest.raises(InputError, match=r"--protocol.* 131072 bytes at most"):
        load_protocol(path)
    assert not reads
    assert len(SHIPPED) < module.MOST_BYTES / 10
