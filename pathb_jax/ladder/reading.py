"""A ladder's record read and held against the protocol that it names."""

from pathlib import Path

from pathb_jax.errors import InputError
from pathb_jax.ladder.protocol import SHIPPED_SHA256, Protocol, parse_protocol
from pathb_jax.store.record import read_record
from pathb_jax.store.record_schema import LadderRecord
from pathb_jax.store.run_records import BatchRecord


def read_ladder(path: Path) -> LadderRecord:
    """Read a record; refuse one that contradicts itself or the protocol whose text it holds.

    Raises:
        InputError: as `read_record`, or it does; the message names the key.
    """
    record = read_record(path)
    root, sha256 = f"{path.name}: ", record.protocol.sha256
    is_shipped = sha256 in SHIPPED_SHA256.values()
    if record.standing != "exploratory" and record.canonical != is_shipped:
        allowed = f"its protocol is {'' if is_shipped else 'not '}one that ships with the package"
        raise InputError(f"{root}standing", record.standing, allowed)
    try:
        protocol = parse_protocol(record.protocol.text.encode(), record.protocol.file)
    except InputError:
        return record  # the note says that the text is missing or broken
    _check_candidates(record, protocol, root)
    _check_stages(record, protocol, root)
    _check_votes(record, protocol, root)
    return record


def _check_candidates(record: LadderRecord, protocol: Protocol, root: str) -> None:
    recorded = [(c.order, c.tag, c.hparams) for c in record.candidates]
    pinned = [(c.order, c.tag, c.change) for c in protocol.candidates]
    if recorded != pinned:
        tags, allowed = [c[1] for c in recorded], ", ".join(c[1] for c in pinned)
        if tags == [c[1] for c in pinned]:
            differ = [ours != theirs for ours, theirs in zip(recorded, pinned, strict=True)]
            index = differ.index(True)
            raise InputError(
                f"{root}candidates[{index}]", recorded[index], f"its protocol has {pinned[index]}"
            )
        raise InputError(f"{root}candidates", tags, f"those of its protocol are {allowed}")
    ids = [prediction.id for prediction in protocol.predictions]
    if list(record.predictions) != ids:
        raise InputError(
            f"{root}predictions", list(record.predictions), f"those of its protocol are {ids}"
        )


def _check_stages(record: LadderRecord, protocol: Protocol, root: str) -> None:
    stages = [*range(1, len(protocol.stages) + 1)]
    for where, run in record.runs:
        if isinstance(run, BatchRecord) or not run.stages:
            continue
        numbers = [receipt.stage for receipt in run.stages]
        if numbers != stages:
            raise InputError(f"{root}{where}.stages", numbers, f"its protocol has {stages}")


def _check_votes(record: LadderRecord, protocol: Protocol, root: str) -> None:
    rule = protocol.voting
    pinned = None if rule.training_seeds == 1 else (rule.training_seeds, rule.pass_at_least)
    for index, candidate in enumerate(record.candidates):
        votes = candidate.votes
        recorded = None if votes is None else (len(votes.seeds), votes.needed)
        if candidate.stages and recorded != pinned:
            allowed = f"its protocol asks {rule.pass_at_least} of {rule.training_seeds} seeds"
            raise InputError(f"{root}candidates[{index}].votes", recorded, allowed)
