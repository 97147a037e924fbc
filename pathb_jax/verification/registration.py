"""What a ladder was registered as: protocol, settings of its runs, departures, dates, program."""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from pathb_jax.store.models import to_json
from pathb_jax.store.record_schema import RECORD, LadderRecord
from pathb_jax.store.run_records import RunRecord
from pathb_jax.verification.findings import MISSING, Findings
from pathb_jax.verification.rules import set_starts
from pathb_jax.verification.runs import RunEvidence

NOT_RECORDED = "not recorded"
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "task": {
        "false_basin_beta": 2.0,
        "reward_compose_form": "canonical",
        "reward_channel_scale": 1.0,
        "success_return": None,
    },
    "train": {
        "env": None,
        "truncation": "terminal",
        "reshuffle_epochs": False,
        "train_starts": "fixed",
    },
    "hparams": {"critic_lr": None, "value_clip": None},
    "schedule": {"lr_schedule": "constant", "entropy_schedule": "constant"},
    "output": {"load_checkpoint": None},
}
"""Options, off by default (docs/spec/trainer.md, "Options")."""
LATER = ("env", "success_return")
"""Options that runs of earlier programs do not have."""
GROUPS = {
    "variant": "task",
    "success_return": "task",
    "env": "train",
    **dict.fromkeys(
        ("tier", "sensor_tier", "batch_envs", "rollout_length", "minibatch_size", "epochs"), "train"
    ),
    **dict.fromkeys(("updates", "seed", "seed_start", "log_std_init"), "schedule"),
}
"""Fields of the protocol's run -> the group of settings that they are in."""
NOT_SAID = {"variant": "own_reward", "sensor_tier": "local-probe-field"}
"""What the run of a protocol of another environment has where its file says nothing."""
KNOBS = {
    **dict.fromkeys(("epochs", "minibatch_size", *DEFAULTS["train"]), "train"),
    **dict.fromkeys(("log_std_init", *DEFAULTS["schedule"]), "schedule"),
}
"""Knobs that are no hyper-parameters -> the same."""


def shipped(sha256: str) -> tuple[str, str] | None:
    """Return name and text of the shipped protocol that has this SHA-256, if there is one."""
    for file in sorted(
        (resources.files("pathb_jax") / "protocols").iterdir(), key=lambda f: f.name
    ):
        if file.name.endswith(".toml"):
            data = file.read_bytes().replace(b"\r\n", b"\n")
            if hashlib.sha256(data).hexdigest() == sha256:
                return file.name.removesuffix(".toml"), data.decode()
    return None


def protocol_of(
    record: LadderRecord, findings: Findings, said: dict[str, str]
) -> Mapping[str, Any] | None:
    """Check the record's copy of the protocol against its hash; return what the text says."""
    recorded, where = record.protocol, f"{RECORD}: protocol"
    original = shipped(recorded.sha256)
    text = recorded.text or None
    if text is None and original is None:
        findings.problem(f"{where}.text", "it is not recorded, so nothing can be recomputed")
        return None
    if text is None:
        said["protocol text"] = NOT_RECORDED
        text = original[1] if original else ""
    findings.same(f"{where}.sha256", recorded.sha256, hashlib.sha256(text.encode()).hexdigest())
    try:
        protocol = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        findings.problem(f"{where}.text", str(error))
        return None
    findings.same(f"{where}.name", recorded.name, protocol.get("name", MISSING))
    standing = "registered"
    if record.deviations:
        standing = "exploratory"
    elif original is not None:
        standing = "canonical"
    findings.same(f"{RECORD}: standing", record.standing, standing)
    findings.same(f"{RECORD}: canonical", record.canonical, standing == "canonical")
    said["protocol"] = f"the shipped {original[0]}" if original else "one of its own"
    return protocol


def overlap_of(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many seeds of each evaluation set are among the training starts."""
    run = protocol["run"]
    training = range(run["seed_start"], run["seed_start"] + run["batch_envs"])
    seeds = protocol["evaluation"]["seeds"]
    starts = set_starts(protocol)
    return {
        "training": [training[0], training[-1]],
        "sets": {str(s): sum(seed in training for seed in range(s, s + seeds)) for s in starts},
    }


def check_settings(
    where: str,
    config: Mapping[str, Any],
    run: Mapping[str, Any],
    knobs: Mapping[str, Any],
    findings: Findings,
) -> None:
    """Compare the settings that a run was trained with and those that it had to have.

    Args:
        where: the run's manifest.
        config: the settings there.
        run: the protocol's run as planned, with variant, mixed_lambda and seed of this one.
        knobs: the protocol's hyper-parameters with the candidate's change.
        findings: takes what is findings.
    """
    expected: dict[str, dict[str, Any]] = {name: dict(part) for name, part in DEFAULTS.items()}
    for name, group in GROUPS.items():
        expected[group][name] = run.get(name, NOT_SAID.get(name))
    for name, value in knobs.items():
        expected[KNOBS.get(name, "hparams")][name] = value
    if "mixed_lambda" in run:
        expected["hparams"]["mixed_lambda"] = run["mixed_lambda"]
    for group, values in expected.items():
        for name, value in values.items():
            absent = None if name in LATER else MISSING
            recorded = config[group].get(name, absent)
            findings.same(f"{where}: config.{group}.{name}", recorded, value)


def planned_run(record: LadderRecord, protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Return the protocol's run with the record's plan in its place."""
    plan = record.plan
    if plan is None:
        return dict(protocol["run"])
    return protocol["run"] | {"tier": plan.tier, "updates": plan.updates, "seed": plan.seed}


def check_departures(
    record: LadderRecord,
    protocol: Mapping[str, Any],
    voting: Sequence[RunEvidence],
    findings: Findings,
) -> None:
    """Compare the departures that are recorded with those that plan and runs show."""
    pinned, planned = protocol["run"], planned_run(record, protocol)
    shown = {f"{k}: {pinned[k]} -> {planned[k]}" for k in pinned if planned[k] != pinned[k]}
    for run in voting:
        precision = run.manifest["config"]["train"].get("matmul_precision", "float32")
        if precision != "float32":
            shown.add(f"matmul_precision: float32 -> {precision}")
        if run.manifest["config"]["output"].get("deterministic") is False:
            shown.add("deterministic: True -> False")
        together = run.manifest.get("runs_together", 1)
        if together != 1 and not any("runs_per_device: 1 ->" in d for d in record.deviations):
            findings.problem(f"{RECORD}: deviations", f"{together} runs were one program")
        if run.manifest.get("environment_changes") and not record.deviations:
            findings.problem(
                f"{RECORD}: deviations",
                f"{run.manifest['slug']} was resumed in another environment",
            )
    if any(entry.status == "informative" for entry in record.candidates):
        shown.add("execution: one candidate after another -> speculative")
    if record.judgement:
        shown.add(f"adoption: by the stages -> {record.judgement.tag}, by judgement")
    recorded = set(record.deviations)
    for line in sorted(shown - recorded):
        findings.problem(f"{RECORD}: deviations", f"{line!r} is missing")
    for line in sorted(recorded - shown):
        if line.partition(":")[0] in pinned:
            findings.problem(
                f"{RECORD}: deviations", f"{line!r} is recorded, and no run departs so"
            )
    if plan := record.plan:
        steps = planned["updates"] * planned["batch_envs"] * planned["rollout_length"]
        findings.same(f"{RECORD}: plan.env_steps", plan.env_steps, steps)


def check_environment(
    record: LadderRecord, runs: Mapping[str, tuple[RunRecord, RunEvidence]], findings: Findings
) -> str:
    """Compare what the record says of program and device with the manifests; say which program.

    Args:
        record: the record.
        runs: where -> the record's entry and the run.
        findings: takes what is findings.
    """
    environment = record.environment
    excused = any(line.startswith("environment") for line in record.deviations)
    names = ("platform", "device_kind", "versions")
    recorded = to_json(record.backend)
    programs = set()
    for name in names if "backend" in environment and not excused else ():
        findings.same(f"{RECORD}: backend.{name}", recorded[name], environment["backend"].get(name))
    ours = environment.get("source", {}).get("program")
    for where, (entry, run) in runs.items():
        trained = entry.trained
        listed = excused or bool(trained and trained.environment_changes)
        backend, source = run.manifest.get("backend", {}), run.manifest.get("source", {})
        for name in names if "backend" in environment and not listed else ():
            here = f"{where}: backend.{name}"
            findings.same(here, backend.get(name, MISSING), environment["backend"].get(name))
        program = source.get("program")
        programs.add(program)
        if not listed and ours is not None and program is not None:
            findings.same(f"{where}: source.program", program, ours)
        if trained is not None:
            expected = {
                **{name: run.manifest.get(name) for name in ("started", "ended", "host")},
                **{name: source.get(name) for name in ("commit", "dirty", "program")},
            }
            for name, value in expected.items():
                findings.same(f"{where}: trained.{name}", getattr(trained, name), value)
    if None in programs or not programs:
        return NOT_RECORDED
    return "one" if len(programs) == 1 else f"{len(programs)} different ones"


def check_dates(
    record: LadderRecord, runs: Mapping[str, tuple[RunRecord, RunEvidence]], findings: Findings
) -> str:
    """Say whether the ladder was opened before its runs; one that began before has to be listed."""
    opened = record.started
    began = {where: run.manifest.get("started") for where, (_, run) in runs.items()}
    if not opened or None in began.values():
        return NOT_RECORDED
    if not began:
        return "no run is over yet"
    before = [where for where, started in began.items() if str(started) < opened]
    for where, (entry, _) in runs.items():
        if entry.trained:
            recorded = entry.trained.before_ladder
            findings.same(f"{where}: trained.before_ladder", recorded, where in before)
        elif where in before:
            findings.problem(
                where, "it began before the ladder was opened, and that is not recorded"
            )
    ended = record.ended
    findings.hold(f"{RECORD}: ended", ended is None or ended >= opened, "it is before the start")
    return "yes" if not before else f"no, {len(before)} of {len(began)} runs began before"
