"""A record's candidates once more: their votes, the verdict, the predictions and a judgement."""

from typing import Any

from pathb_jax.store.models import to_json
from pathb_jax.store.record_schema import RECORD
from pathb_jax.store.run_records import CandidateRecord
from pathb_jax.verification import registration, rules, votes
from pathb_jax.verification.recorded_runs import CLOSE, RecordedRuns

PassedByTag = dict[str, dict[int, votes.Passed]]
"""Tag -> training seed -> what the stages of its run have to say."""


def check_candidates(runs: RecordedRuns) -> PassedByTag:
    """Follow the candidates' runs; check votes, verdict and predictions; return the stages."""
    protocol, record, findings = runs.protocol, runs.record, runs.findings
    pinned = sorted(protocol["candidates"], key=lambda candidate: candidate["order"])
    recorded = [(c.order, c.tag, c.hparams) for c in record.candidates]
    expected = [(c["order"], c["tag"], c["change"]) for c in pinned]
    findings.same(f"{RECORD}: candidates", recorded, expected)
    passed_by_tag: PassedByTag = {}
    judged: list[votes.Ballot | None] = []
    first, voting = runs.planned["seed"], runs.voting_seeds
    for index, entry in enumerate(record.candidates):
        tag, where = entry.tag, f"{RECORD}: candidates[{index}]"
        knobs = protocol["hparams"] | entry.hparams
        passed_by_tag[tag] = {}
        by_seed: dict[int, tuple[votes.Passed, bool]] = {}
        if entry.stages:
            result = runs.follow_judged(where, entry, runs.planned, knobs)
            if result is not None:
                by_seed[first] = result
                passed_by_tag[tag][first] = result[0]
        for position, other in enumerate(entry.other_seeds):
            run = runs.planned | {"seed": other.seed}
            at = f"{where}.other_seeds[{position}]"
            if (result := runs.follow_judged(at, other, run, knobs)) is not None:
                status = "diverged" if result[1] else "finished"
                findings.same(f"{at}.status", other.status, status)
                by_seed[other.seed] = result
                passed_by_tag[tag][other.seed] = result[0]
        ballot = {seed: by_seed[seed] for seed in voting if seed in by_seed}
        judged.append(ballot if entry.stages and len(ballot) == len(voting) else None)
        _votes(runs, where, entry, judged[-1])
    _verdict(runs, judged)
    return passed_by_tag


def _votes(
    runs: RecordedRuns, where: str, entry: CandidateRecord, ballot: votes.Ballot | None
) -> None:
    """Check what is recorded of the votes, where more than one seed votes."""
    count, needed = votes.voting(runs.protocol)
    recorded = to_json(entry.votes) if entry.votes else None
    expected: dict[str, Any] | None = None
    if ballot is not None and count > 1:
        expected = {"seeds": [*ballot], "passed": votes.passing(ballot), "needed": needed}
    if recorded or expected:
        runs.findings.same(f"{where}.votes", recorded, expected)


def _verdict(runs: RecordedRuns, judged: list[votes.Ballot | None]) -> None:
    record, findings = runs.record, runs.findings
    needed = votes.voting(runs.protocol)[1]
    allowed = votes.statuses(judged, needed)
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
    voted: dict[str, votes.Passed] = {}
    for entry, item in zip(record.candidates, judged, strict=True):
        if item is not None and entry.status != "informative":
            voted[entry.tag] = votes.cleared(item, needed)
    grades = votes.grades(runs.protocol["predictions"], voted)
    findings.same(f"{RECORD}: predictions", record.predictions, grades)


def check_judgement(runs: RecordedRuns, said: dict[str, str]) -> None:
    """Check what a judgement says that it overrode, and its date."""
    record, findings = runs.record, runs.findings
    judgement, where = record.judgement, f"{RECORD}: judgement"
    if judgement is None:
        return
    said["adopted by judgement"] = judgement.tag
    findings.same(f"{where} after the verdict", record.verdict, "rejected")
    against = []
    for entry in record.candidates:
        by_seed = {runs.planned["seed"]: entry.stages}
        by_seed |= {other.seed: other.stages for other in entry.other_seeds}
        voted = {seed: by_seed[seed] for seed in runs.voting_seeds if seed in by_seed}
        for seed, receipts in voted.items() if entry.tag == judgement.tag else ():
            against += [
                f"training seed {seed}: stage {stage.stage}, {stage.name}: "
                + "; ".join(stage.reasons)
                for stage in receipts
                if stage.passed is False
            ]
    findings.same(f"{where}.overrode", judgement.overrode, against)
    ends = [run.manifest.get("ended") for run in runs.that_vote()]
    late = [end for end in ends if end and end > judgement.at]
    findings.hold(f"{where}.at", not late, f"it is before the end of {len(late)} candidates")
    before = [line for line in record.deviations if not line.startswith("adoption: ")]
    if before or judgement.standing == "exploratory":
        return
    shipped = registration.shipped(record.protocol.sha256) is not None
    standing = "canonical" if shipped else "registered"
    findings.same(f"{where}.standing", judgement.standing, standing)


def check_training_seeds(runs: RecordedRuns, passed_by_tag: PassedByTag) -> None:
    """Check what the record adds up over training seeds."""
    recorded, findings = runs.record.training_seeds, runs.findings
    trained = {seed for by_seed in passed_by_tag.values() for seed in by_seed}
    where, first = f"{RECORD}: training_seeds", runs.planned["seed"]
    if recorded is None:
        if trained - {first}:
            findings.problem(where, "other seeds were trained, and nothing is recorded of them")
        return
    seeds = [first + k for k in range(len(recorded.seeds))]
    findings.same(f"{where}.seeds", recorded.seeds, seeds)
    findings.hold(f"{where}.seeds", trained <= set(seeds), f"seeds {sorted(trained)} were trained")
    verdicts = {str(seed): votes.verdict_of_seed(passed_by_tag, seed) for seed in seeds}
    findings.same(f"{where}.verdicts", recorded.verdicts, verdicts)
    passes = []
    for tag, by_seed in passed_by_tag.items():
        kinds = [kind for kind, _ in rules.listed(runs.protocol)]
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
