"""The runs that a ladder's record names: their files, and what the record keeps of each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pathb_jax.store.models import to_json
from pathb_jax.store.record_schema import LadderRecord
from pathb_jax.store.run_files import RunFiles
from pathb_jax.store.run_records import (
    BaselineRecord,
    BatchRecord,
    CandidateRecord,
    RunRecord,
    SeedRecord,
)
from pathb_jax.verification import registration, rules
from pathb_jax.verification.failure_modes import failure_mode
from pathb_jax.verification.findings import Findings
from pathb_jax.verification.rules import Facts
from pathb_jax.verification.runs import RunEvidence, check_run
from pathb_jax.verification.votes import Passed, voting

CLOSE = 1e-9
"""What a quotient, a mean or an interval may differ for how it was computed."""


class RecordedRuns:
    """The runs of one ladder, each followed from its files when it is asked for.

    Args:
        folder: the ladder's.
        record: what it says.
        protocol: the record's copy, read as plain TOML.
        replay: play the runs' policies too.
        findings: what to add to.
    """

    def __init__(
        self,
        folder: Path,
        record: LadderRecord,
        protocol: Mapping[str, Any],
        replay: bool,
        findings: Findings,
    ) -> None:
        self.folder, self.record, self.protocol = folder, record, protocol
        self.replay, self.findings = replay, findings
        self.planned = registration.planned_run(record, protocol)
        self.start = rules.floor_start(protocol)
        self.asked = rules.set_starts(protocol), protocol["evaluation"]["seeds"]
        self.followed: dict[str, tuple[RunRecord, RunEvidence]] = {}
        """Where the record names it -> what it says, and what the files say."""

    @property
    def voting_seeds(self) -> list[int]:
        """Training seeds that vote."""
        return [self.planned["seed"] + k for k in range(voting(self.protocol)[0])]

    def that_vote(self) -> list[RunEvidence]:
        """Return the runs that vote, of those that were followed so far."""
        seeds = self.voting_seeds
        return [
            run
            for entry, run in self.followed.values()
            if isinstance(entry, CandidateRecord)
            or (isinstance(entry, SeedRecord) and entry.seed in seeds)
        ]

    def follow(
        self, where: str, entry: RunRecord, run: Mapping[str, Any], knobs: Mapping[str, Any]
    ) -> RunEvidence | None:
        """Check a run's files, its settings and what the record keeps of it.

        Args:
            where: the record's field.
            entry: what the record says.
            run: settings that the run had to have.
            knobs: hyper-parameters that it had to have.

        Returns:
            What the files say; None where they do not say it.
        """
        folder = self.folder / entry.run_dir
        slug = entry.slug
        if not slug:  # an older record
            slug = next((path.stem for path in sorted(folder.glob("manifests/*.json"))), "")
        before = len(self.findings.problems)
        evidence = check_run(RunFiles(folder, slug), self.findings, self.replay, self.asked)
        if evidence is None:
            if len(self.findings.problems) == before:
                self.findings.problem(f"{where}.run_dir", f"the run in {entry.run_dir} is not over")
            return None
        self.followed[where] = entry, evidence
        config = evidence.manifest["config"]
        registration.check_settings(
            f"{entry.run_dir}/{slug}.json", config, run, knobs, self.findings
        )
        log_std_init = knobs.get("log_std_init", self.planned["log_std_init"])
        self._figures(where, entry, evidence, log_std_init)
        return evidence

    def follow_judged(
        self,
        where: str,
        entry: CandidateRecord | SeedRecord,
        run: Mapping[str, Any],
        knobs: Mapping[str, Any],
    ) -> tuple[Passed, bool] | None:
        """Follow a judged run; return what its stages have to say, and whether it diverged."""
        evidence = self.follow(where, entry, run, knobs)
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

    def follow_unjudged(
        self, where: str, entry: BatchRecord, run: Mapping[str, Any], knobs: Mapping[str, Any]
    ) -> RunEvidence | None:
        """Follow a run that does not vote, and check what the record says of such runs alone."""
        evidence = self.follow(where, entry, run, knobs)
        if evidence is not None:
            self._unjudged(where, entry, evidence)
        return evidence

    def same_as_followed(self, where: str, entry: BaselineRecord) -> RunEvidence | None:
        """Return the run of a candidate that is the default run too, as it was followed."""
        for other, evidence in self.followed.values():
            if other.run_dir == entry.run_dir:
                self.findings.same(f"{where}.slug", entry.slug, other.slug)
                ours, theirs = (
                    to_json(run.trained) if run.trained else None for run in (entry, other)
                )
                self.findings.same(f"{where}.trained", ours, theirs)
                self._figures(where, entry, evidence, self.planned["log_std_init"])
                self._unjudged(where, entry, evidence)
                return evidence
        return None

    def _figures(
        self, where: str, entry: RunRecord, evidence: RunEvidence, log_std_init: float
    ) -> None:
        facts, seconds = evidence.facts, evidence.seconds
        table = self.protocol["failure_modes"]
        mode, figures = failure_mode(table, log_std_init, self.start, facts)
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

    def _unjudged(self, where: str, entry: BatchRecord, evidence: RunEvidence) -> None:
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
