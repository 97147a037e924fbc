"""What places runs needs of a cluster of machines; `pathb_jax.cluster` has one."""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pathb_jax.config import RunConfig

if TYPE_CHECKING:
    from pathb_jax.runs.observer import Observer
    from pathb_jax.runs.outcome import RunOutcome


class Cluster(Protocol):
    """Machines, each with the code of this one, that train runs in its place."""

    slots: int
    """Runs that can train at once."""
    environment: dict[str, Any]
    """What equal bits depend on, as a worker tells it."""

    def each(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        """Return `function` of each argument, computed by workers, as many at once as can be.

        Raises:
            InputError: a worker's code or device differs.
            ConnectionError: the cluster is gone.
        """

    def train_all(
        self, configs: Mapping[int, RunConfig], observer: "Observer"
    ) -> Generator[tuple[int, "RunOutcome"], None, None]:
        """Train every run, one per slot at a time; yield key and outcome as they end.

        Raises:
            StopRequested: a signal asked to stop; all runs are saved and marked incomplete.
            ConnectionError: the cluster is gone; workers that are left save their runs and end.
            Exception: what the first run that failed raised. The others are saved.
        """
