"""What a ladder's record says of the run at default hyper-parameters: states, and the fall."""

from pathb_jax.store.models import Items
from pathb_jax.store.record_parts import Figure, Interval, RecordPart, Successes, Whole


class StateRecord(RecordPart):
    """A state of the default run that was evaluated on the way."""

    update: Whole
    env_steps: Whole
    success: Successes
    """On the set that the best state is chosen by; so are the two means."""
    mean_terminal_alignment: Figure
    mean_steps: Figure
    reported: Successes
    """On the set that the best state is told of on, which chooses nothing."""


class SegmentRecord(RecordPart):
    """A row of the segment table."""

    state: StateRecord
    entropy: Figure
    log_std: Figure
    mean_reward: Figure
    """Of the segment's last update, as the two before."""
    value_loss_max: Figure
    """Over the segment."""


class FallRecord(RecordPart):
    """From the best state to the end."""

    best: StateRecord
    """Most successes on the first set, the latest of equals."""
    best_checkpoint: str | None
    """Where the best state is kept, from the runs' folder; None: it is not."""
    end: StateRecord
    difference: Figure
    """Success rate at the end less that of the best state, both on the last set."""
    interval: Interval
    """Newcombe's 95 % interval of the difference."""
    p_value: Figure
    """Of Fisher's exact test, one-sided: both have one success probability."""

    @property
    def unwound(self) -> bool:
        """Whether the fall is more than chance, at 5 %."""
        return self.p_value < 0.05


class DiagnosisRecord(RecordPart):
    """What a run at default hyper-parameters did."""

    label: str
    diverged: str | None
    chosen_on: Whole
    """First seed of the set that chooses the best state."""
    told_on: Whole
    """First seed of the set that it is told of on."""
    segments: Items[SegmentRecord]
    """Those that were reached, and evaluated where they end."""
    evaluations: Items[StateRecord]
    fall: FallRecord | None
    """None: nothing was evaluated."""
