"""A ladder's record recomputed from the raw files of its runs."""

from collections.abc import Mapping
from pathlib import Path
from statistics import StatisticsError
from typing import Any

from pathb_jax.store.artifacts import RunFiles
from pathb_jax.store.models import to_json
from pathb_jax.store.record_schema import (
    RECORD,
    BaselineRecord,
    BatchRecord,
    CandidateRecord,
    LadderRecord,
    RunRecord,
    SeedRecord,
)
from pathb_jax.verification import registration, rules
from pathb_jax.verification.battery import check_battery
from pathb_jax.verification.diagnosis import check_best_checkpoint, expected_diagnosis
from pathb_jax.verification.findings import Findings
from pathb_jax.verification.rules import Facts
from pathb_jax.verification.runs import RunEvidence, check_run

CLOSE = 1e-9
"""What a quotient, a mean or an interval may differ for how it was computed."""


def check_ladder(
    folder: Path, record: LadderRecord, replay: bool, findings: Findings
) -> dict[str, str]:
    """Check a record against its runs, and the runs against themselves.

    Returns:
        What else was looked at.
    """
    said: dict[str, str] = {}
    protocol = registration.protocol_of(record, findings, said)
    if protocol is None:
        return said
    try:
        _Ladder(folder, record, protocol, findings).check(replay, said)
    except _NO_PROTOCOL as error:
        what = f"it lacks what a protocol has ({type(error).__name__}: {error})"
        findings.problem(f"{RECORD}: protocol.text", what)
    return said


_NO_PROTOCOL = (AttributeError, KeyError, StopIteration, TypeError, StatisticsError)
"""What following a text raises that is no protocol's."""


class _Ladder:
    """The checks of one ladder."""

    def __init__(
        self, folder: Path, record: LadderRecord, protocol: Mapping[str, Any], findings: Findings
    ) -> None:
        self.folder, self.record, self.protocol, self.findings = folder, record, protocol, findings
        self.planned = registration.planned_run(record, protocol)
        self.start = rules.floor_start(protocol)
        self.asked = rules.set_starts(protocol), protocol["evaluation"]["seeds"]
        self.runs: dict[str, tuple[RunRecord, RunEvidence]] = {}
        self.passed: dict[str, dict[int, rules.Passed]] = {}
        """Tag -> training seed -> stages, as recomputed."""

    def check(self, replay: bool, said: dict[str, str]) -> None:
        record, findings = self.record, self.findings
        self._candidates(replay)
        self._judgement(said)
        self._batch(replay)
        self._baseline(replay)
        self._batteries(replay)
        self._sums()
        voting = self._voting_runs()
        registration.check_departures(record, self.protocol, voting, findings)
        said["registered before the first run"] = registration.check_dates(
            record, self.runs, findings
        )
        said["program"] = registration.check_environment(record, self.runs, findings)

    def _voting_seeds(self) -> list[int]:
        return [self.planned["seed"] + k for k in range(rules.voting(self.protocol)[0])]

    def _voting_runs(self) -> list[RunEvidence]:
        """Return the runs that vote, of those that were followed so far."""
        seeds = self._voting_seeds()
        return [
            run
            for entry, run in self.runs.values()
            if isinstance(entry, CandidateRecord)
            or (isinstance(entry, SeedRecord) and entry.seed in seeds)
        ]

    def _candidates(self, replay: bool) -> None:
        findings = self.findings
        pinned = sorted(self.protocol["candidates"], key=lambda candidate: candidate["order"])
        recorded = [(c.order, c.tag, c.hparams) for c in self.record.candidates]
        expected = [(c["order"], c["tag"], c["change"]) for c in pinned]
        findings.same(f"{RECORD}: candidates", recorded, expected)
        judged: list[rules.Ballot | None] = []
        first, voting = self.planned["seed"], self._voting_seeds()
        for index, entry in enumerate(self.record.candidates):
            tag, where = entry.tag, f"{RECORD}: candidates[{index}]"
            knobs = self.protocol["hparams"] | entry.hparams
            self.passed[tag] = {}
            runs: dict[int, tuple[rules.Passed, bool]] = {}
            if entry.stages:
                result = self._judged(where, entry, self.planned, knobs, replay)
                if result is not None:
                    runs[first] = result
                    self.passed[tag][first] = result[0]
            for position, other in enumerate(entry.other_seeds):
                run = self.planned | {"seed": other.seed}
                at = f"{where}.other_seeds[{position}]"
                if (passed := self._judged(at, other, run, knobs, replay)) is not None:
                    status = "diverged" if passed[1] else "finished"
                    findings.same(f"{at}.status", other.status, status)
                    self.passed[tag][other.seed] = passed[0]
                    runs[other.seed] = passed
            ballot = {seed: runs[seed] for seed in voting if seed in runs}
            judged.append(ballot if entry.stages and len(ballot) == len(voting) else None)
            self._votes(where, entry, judged[-1])
        self._verdict(judged)

    def _votes(self, where: str, entry: CandidateRecord, ballot: rules.Ballot | None) -> None:
        """Check what is recorded of the votes, where more than one seed votes."""
        count, needed = rules.voting(self.protocol)
        recorded = to_json(entry.votes) if entry.votes else None
        expected: dict[str, Any] | None = None
        if ballot is not None and count > 1:
            expected = {"seeds": [*ballot], "passed": rules.passing(ballot), "needed": needed}
        if recorded or expected:
            self.findings.same(f"{where}.votes", recorded, expected)

    def _verdict(self, judged: list[rules.Ballot | None]) -> None:
        record, findings = self.record, self.findings
        needed = rules.voting(self.protocol)[1]
        allowed = rules.statuses(judged, needed)
        adopted = None
        for index, (entry, statuses) in enumerate(zip(record.candidates, allowed, strict=True)):
            where = f"{RECORD}: candidates[{index}].status"
            status = entry.status
            findings.same(where, status, status if status in statuses else statuses[0])
            if statuses == ("adopted",):
                adopted = entry.tag
        verdict = "adopted" if adopted else "rejected"
        if any(item is None for item in judged) and adopted is None:
            verdict = "incomplete"
        if record.verdict == "incomplete" and not record.batch:
            adopted, verdict = None, "incomplete"  # stopped before it could say so
        findings.same(f"{RECORD}: verdict", record.verdict, verdict)
        findings.same(f"{RECORD}: adopted", record.adopted, adopted)
        voted: dict[str, rules.Passed] = {}
        for entry, item in zip(record.candidates, judged, strict=True):
            if item is not None and entry.status != "informative":
                voted[entry.tag] = rules.cleared(item, needed)
        grades = rules.grades(self.protocol["predictions"], voted)
        findings.same(f"{RECORD}: predictions", record.predictions, grades)

    def _judged(
        self,
        where: str,
        entry: CandidateRecord | SeedRecord,
        run: Mapping[str, Any],
        knobs: Mapping[str, Any],
        replay: bool,
    ) -> tuple[rules.Passed, bool] | None:
        """Check a judged entry; return what its stages have to say, and whether it diverged."""
        evidence = self._run(where, entry, run, knobs, replay)
        if evidence is None:
            return None
        stages = rules.stages(self.protocol, evidence.facts)
        recorded = entry.stages
        self.findings.same(f"{where}.stages", len(recorded), len(stages))
        for receipt, stage in zip(recorded, stages, strict=False):
            at = f"{where}.stages[{stage.number - 1}]"
            for name, value in (
                ("stage", stage.number),
                ("name", stage.name),
                ("passed", stage.passed),
            ):
                self.findings.same(f"{at}.{name}", getattr(receipt, name), value)
            tolerance = CLOSE if stage.name in ("equivalence", "return_floor") else 0.0
            self.findings.same(f"{at}.figures", receipt.figures, stage.figures, tolerance)
            said = receipt.reasons
            right = len(said) == len(stage.reasons) and all(map(rules.says, said, stage.reasons))
            what = f"{said} are recorded, which is not why"
            self.findings.hold(f"{at}.reasons", right, what)
        return [stage.passed for stage in stages], evidence.facts.diverged is not None

    def _run(
        self,
        where: str,
        entry: RunRecord,
        run: Mapping[str, Any],
        knobs: Mapping[str, Any],
        replay: bool,
    ) -> RunEvidence | None:
        """Check a run's files, its settings and what the record keeps of it."""
        folder = self.folder / entry.run_dir
        slug = entry.slug
        if not slug:  # an older record
            slug = next((path.stem for path in sorted(folder.glob("manifests/*.json"))), "")
        before = len(self.findings.problems)
        evidence = check_run(RunFiles(folder, slug), self.findings, replay, self.asked)
        if evidence is None:
            if len(self.findings.problems) == before:
                self.findings.problem(f"{where}.run_dir", f"the run in {entry.run_dir} is not over")
            return None
        self.runs[where] = entry, evidence
        config = evidence.manifest["config"]
        registration.check_settings(
            f"{entry.run_dir}/{slug}.json", config, run, knobs, self.findings
        )
        log_std_init = knobs.get("log_std_init", self.planned["log_std_init"])
        self._figures(where, entry, evidence, log_std_init)
        return evidence

    def _figures(
        self, where: str, entry: RunRecord, evidence: RunEvidence, log_std_init: float
    ) -> None:
        facts, seconds = evidence.facts, evidence.seconds
        table = self.protocol["failure_modes"]
        mode, figures = rules.failure_mode(table, log_std_init, self.start, facts)
        recorded = to_json(entry)
        expected: dict[str, Any] = {
            "failure_mode": mode,
            "failure_figures": figures,
            "diverged": facts.diverged,
            "env_steps": evidence.env_steps,
            "wall_seconds": seconds,
            "env_steps_per_second": evidence.env_steps / seconds if seconds else 0.0,
            "summaries": {str(start): _summary(facts, start) for start in facts.counts},
        }
        for name, value in expected.items():
            if name in recorded:
                self.findings.same(f"{where}.{name}", recorded[name], value, CLOSE)

    def _judgement(self, said: dict[str, str]) -> None:
        """Check what a judgement says that it overrode, and its date."""
        record, findings = self.record, self.findings
        judgement, where = record.judgement, f"{RECORD}: judgement"
        if judgement is None:
            return
        said["adopted by judgement"] = judgement.tag
        findings.same(f"{where} after the verdict", record.verdict, "rejected")
        against = []
        for entry in record.candidates:
            runs = {self.planned["seed"]: entry.stages}
            runs |= {other.seed: other.stages for other in entry.other_seeds}
            voted = {seed: runs[seed] for seed in self._voting_seeds() if seed in runs}
            for seed, receipts in voted.items() if entry.tag == judgement.tag else ():
                against += [
                    f"training seed {seed}: stage {stage.stage}, {stage.name}: "
                    + "; ".join(stage.reasons)
                    for stage in receipts
                    if stage.passed is False
                ]
        findings.same(f"{where}.overrode", judgement.overrode, against)
        voting = self._voting_runs()
        ends = [run.manifest.get("ended") for run in voting]
        late = [end for end in ends if end and end > judgement.at]
        findings.hold(f"{where}.at", not late, f"it is before the end of {len(late)} candidates")
        before = [line for line in record.deviations if not line.startswith("adoption: ")]
        if before or judgement.standing == "exploratory":
            return
        shipped = registration.shipped(record.protocol.sha256) is not None
        standing = "canonical" if shipped else "registered"
        findings.same(f"{where}.standing", judgement.standing, standing)

    def _batch(self, replay: bool) -> None:
        record, findings = self.record, self.findings
        if not record.batch:
            return
        pinned = self.protocol["batch"]
        tag = record.judgement.tag if record.judgement else record.adopted
        adopted = next((c for c in record.candidates if c.tag == tag), None)
        knobs = self.protocol["hparams"] | (adopted.hparams if adopted else {})
        labels = [f"{item['label']}_pathb_{tag}" for item in pinned]
        findings.same(f"{RECORD}: batch", [entry.label for entry in record.batch], labels)
        for index, (entry, item) in enumerate(zip(record.batch, pinned, strict=False)):
            where = f"{RECORD}: batch[{index}]"
            for name in ("variant", "mixed_lambda"):
                if name in entry.model_fields_set:
                    findings.same(f"{where}.{name}", getattr(entry, name), item.get(name))
            if entry.status not in ("finished", "diverged"):
                continue
            lam = {"mixed_lambda": item["mixed_lambda"]} if "mixed_lambda" in item else {}
            run = {k: v for k, v in self.planned.items() if k != "mixed_lambda"}
            run |= {"variant": item["variant"], **lam}
            evidence = self._run(where, entry, run, knobs, replay)
            if evidence is None:
                continue
            self._told_apart(where, entry, evidence)

    def _told_apart(self, where: str, entry: BatchRecord, evidence: RunEvidence) -> None:
        """Check what the record says of a run that does not vote, beside what it says of all."""
        facts, findings = evidence.facts, self.findings
        count = facts.counts.get(self.start)
        rate = count[0] / count[1] if count else None
        findings.same(f"{where}.success_rate", entry.success_rate, rate)
        alignment = facts.alignments.get(self.start)
        recorded = entry.mean_terminal_alignment
        findings.same(f"{where}.mean_terminal_alignment", recorded, alignment, CLOSE)
        if "status" in entry.model_fields_set:
            status = "diverged" if facts.diverged is not None else "finished"
            findings.same(f"{where}.status", entry.status, status)

    def _baseline(self, replay: bool) -> None:
        """Check the default run, and what the record says that it did."""
        entry, findings, where = self.record.baseline, self.findings, f"{RECORD}: baseline"
        if entry is None or entry.status not in ("finished", "diverged"):
            return
        named = [item["tag"] for item in self.protocol["candidates"] if item.get("baseline")]
        label = self.planned["label"]
        tag = named[0] if named else "defaults"
        findings.same(f"{where}.run_dir", entry.run_dir, f"{label}_pathb_{tag}")
        for name in ("variant", "mixed_lambda"):
            findings.same(f"{where}.{name}", getattr(entry, name), self.planned.get(name))
        knobs = self.protocol["hparams"]
        if self.record.own_baseline is not None:
            evidence = self._run(where, entry, self.planned, knobs, replay)
        else:  # a candidate's run, which was followed there
            evidence = self._followed(where, entry)
        if evidence is None:
            return
        self._told_apart(where, entry, evidence)
        files = RunFiles(self.folder / entry.run_dir, entry.slug)
        where = f"{where}.diagnosis"
        try:
            expected = expected_diagnosis(
                self.protocol, label, self.planned["updates"], evidence, files
            )
            recorded = to_json(entry.diagnosis) if entry.diagnosis else None
            findings.same(where, recorded, expected, CLOSE)
            if expected["fall"]:
                kept = f"{where}.fall.best_checkpoint"
                check_best_checkpoint(kept, expected, files, findings)
        except (ArithmeticError, LookupError, ValueError) as error:
            what = f"it cannot be followed ({type(error).__name__}: {error})"
            findings.problem(where, what)

    def _followed(self, where: str, entry: BaselineRecord) -> RunEvidence | None:
        """Return the run of a candidate that is the default run too, as it was followed."""
        for other, evidence in self.runs.values():
            if other.run_dir == entry.run_dir:
                self.findings.same(f"{where}.slug", entry.slug, other.slug)
                ours, theirs = (
                    to_json(run.trained) if run.trained else None for run in (entry, other)
                )
                self.findings.same(f"{where}.trained", ours, theirs)
                self._figures(where, entry, evidence, self.planned["log_std_init"])
                return evidence
        return None

    def _batteries(self, replay: bool) -> None:
        """Check what the record says of the policies' intervention battery."""
        slugs = {entry.run_dir: evidence.manifest["slug"] for entry, evidence in self.runs.values()}
        for index, recorded in enumerate(self.record.batteries):
            slug = slugs.get(recorded.run_dir)
            if slug is None:
                where = f"{RECORD}: batteries[{index}].run_dir"
                self.findings.problem(
                    where, f"{recorded.run_dir} is no finished run of this ladder"
                )
                continue
            files, tier = (
                RunFiles(self.folder / recorded.run_dir, slug),
                self.planned["sensor_tier"],
            )
            check_battery(recorded, files, replay, tier, self.findings)

    def _sums(self) -> None:
        """Check what the record adds up over its runs."""
        record, findings = self.record, self.findings
        hours = sum(entry.wall_seconds for _, entry in record.runs) / 3600
        findings.same(f"{RECORD}: compute.used_hours", record.compute.used_hours, hours, CLOSE)
        stated = None
        compute = self.protocol.get("compute")
        if compute and self.planned == self.protocol["run"]:
            stated = compute["candidate_hours"][-1] + compute["batch_hours"]
        findings.same(
            f"{RECORD}: compute.planned_hours", record.compute.planned_hours, stated, CLOSE
        )
        overlap = registration.overlap_of(self.protocol)
        findings.same(f"{RECORD}: seed_overlap", to_json(record.seed_overlap), overlap)
        self._training_seeds()

    def _training_seeds(self) -> None:
        recorded, findings = self.record.training_seeds, self.findings
        trained = {seed for by_seed in self.passed.values() for seed in by_seed}
        where, first = f"{RECORD}: training_seeds", self.planned["seed"]
        if recorded is None:
            if trained - {first}:
                findings.problem(where, "other seeds were trained, and nothing is recorded of them")
            return
        seeds = [first + k for k in range(len(recorded.seeds))]
        findings.same(f"{where}.seeds", recorded.seeds, seeds)
        findings.hold(
            f"{where}.seeds", trained <= set(seeds), f"seeds {sorted(trained)} were trained"
        )
        verdicts = {str(seed): rules.verdict_of_seed(self.passed, seed) for seed in seeds}
        findings.same(f"{where}.verdicts", recorded.verdicts, verdicts)
        passes = []
        for tag, by_seed in self.passed.items():
            kinds = [kind for kind, _ in rules.listed(self.protocol)]
            for index, name in enumerate(kinds if by_seed else ()):
                passed = sum(stages[index] is True for stages in by_seed.values())
                passes.append(
                    {
                        "tag": tag,
                        "stage": index + 1,
                        "name": name,
                        "passed": passed,
                        "seeds": len(by_seed),
                        "interval": list(rules.interval(passed, len(by_seed))),
                    }
                )
        findings.same(f"{where}.passes", [to_json(item) for item in recorded.passes], passes, CLOSE)


def _summary(facts: Facts, start: int) -> dict[str, Any]:
    count, seeds = facts.counts[start]
    return {
        "success_count": count,
        "seeds": seeds,
        "success_rate": count / seeds,
        "interval": list(rules.interval(count, seeds)),
        "mean_terminal_alignment": facts.alignments.get(start),
        **({"mean_return": facts.returns[start]} if start in facts.returns else {}),
        "mean_steps": facts.mean_steps[start],
    }
