"""Environment steps per second in training: ours and other libraries', on our environment.

    python -m pip install -c constraints.txt -e '.[bench]'
    python benchmarks/peers.py --rounds 5 --json peers.json
    python benchmarks/peers.py --tiers Small --peers rejax --runs 1 2 4 8 --rejax-seeds 1 2 4 8

Every library trains PPO through its ordinary interface on the same world (64 fixed starts, reward
mixed_ppo_phase3_lambda_0_9), in turn with ours. The same everywhere: 64 environments x 128 steps an
iteration, then 4 epochs of 32 minibatches of 256 samples, so 128 minibatch updates; actor and
critic apart, of the tier's size, tanh; constant learning rate; normalised observations; float32
(products too). Nothing is evaluated. Compilation and first calls are left out: a measurement is a
call equal to earlier ones, of about --seconds or one iteration. After each, the counts of steps and
minibatch updates that the library itself keeps have to be those asked for (brax keeps none of
minibatch updates; its options fix them).

Several runs of ours (--runs) go where runs.side_by_side puts them. "ours / theirs" compares as many
runs as the other library has seeds, if they are measured, else one; "of one rejax" is
everybody's total over that of one rejax training.

What is not the same, each library being itself:

- rejax: clips gradients element by element, clips the value loss too. --rejax-seeds vmaps several
  trainings into one; their steps are added.
- brax: minibatches are whole unrolls, and each computes its advantages anew, with one more value.
  At unroll 128 they reach as far as ours (a minibatch is 2 unrolls); at unroll 8, nearer to what
  brax's users take, a minibatch is 32 unrolls and advantages are cut off after 8 steps.
  Observations are normalised with statistics that change once an iteration.
- sb3, sbx: the loop is the host's. Environments are stepped by one compiled call a step; time-outs
  are bootstrapped. sb3 is on the device it chooses, with one thread or all, what is faster.

rejax 0.1.3 expects gymnax before 1.0, brax 0.14.2 JAX before 0.10; `pathb_jax.adapters` and
`peer_brax` bridge that. PureJaxRL is no package and is left out.
"""

import dataclasses
import functools
import importlib.metadata
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import harness
from rich.table import Table

from pathb_jax.cli import command
from pathb_jax.config import DefaultHint, Tier, TrainConfig
from pathb_jax.errors import InputError
from pathb_jax.system import backend

if TYPE_CHECKING:
    from peer_trainers import Trainer

# What starts JAX is imported where it is used: the devices of a CPU are chosen before.

Peer = Literal["rejax", "brax", "sb3", "sbx"]

DISTRIBUTIONS: dict[Peer, str] = {
    "rejax": "rejax",
    "brax": "brax",
    "sb3": "stable-baselines3",
    "sbx": "sbx-rl",
}
"""What pip calls them."""


@dataclasses.dataclass(frozen=True)
class Flags(harness.CommonFlags):
    """What to compare."""

    tiers: tuple[Tier, ...] = ("Small", "Medium", "Large")
    """Network sizes."""
    peers: Annotated[tuple[Peer, ...] | None, DefaultHint("all that are installed")] = None
    """Libraries to compare with."""
    large_peers: tuple[Peer, ...] = ("rejax", "brax")
    """Those of them that are trained at Large too."""
    runs: tuple[int, ...] = (1,)
    """Runs of ours at once; each number is a subject, and 1 is always measured."""
    rejax_seeds: tuple[int, ...] = (1,)
    """Seeds that rejax trains in one vmapped call; each number is a subject."""
    brax_unrolls: tuple[int, ...] = (128, 8)
    """Steps of brax's unrolls; each number is a subject."""
    seconds: float = 3.0
    """A subject trains about this long per round, or one iteration if that is longer."""

    def check(self) -> None:
        """Raise InputError for what no library could do."""
        super().check()
        for flag, numbers in (("--runs", self.runs), ("--rejax-seeds", self.rejax_seeds)):
            if any(number < 1 for number in numbers):
                raise InputError(flag, min(numbers), "1 or more")
        shapes = TrainConfig()
        for unroll in self.brax_unrolls:
            # Beyond either, brax would need other environments or minibatches.
            if unroll < 1 or shapes.rollout_length % unroll or shapes.minibatch_size % unroll:
                raise InputError(
                    "--brax-unrolls", unroll, f"a divisor of {shapes.rollout_length} is needed"
                )


def installed() -> dict[Peer, str]:
    """Return the versions of the libraries that are there."""
    versions = {}
    for peer, distribution in DISTRIBUTIONS.items():
        try:
            versions[peer] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def chosen(flags: Flags, versions: dict[Peer, str]) -> tuple[Peer, ...]:
    """Return the libraries to compare with; raise InputError if one asked for is not there."""
    for peer in flags.peers or ():
        if peer not in versions:
            raise InputError("--peers", peer, f"install it first: {DISTRIBUTIONS[peer]}")
    return tuple(versions) if flags.peers is None else flags.peers


def trainers(
    flags: Flags, peers: tuple[Peer, ...], tier: Tier
) -> "dict[str, Callable[[], Trainer]]":
    """Return how to make each subject of a tier, by name."""
    from peer_brax import Brax
    from peer_stable_baselines import Sbx, StableBaselines3
    from peer_trainers import Ours, Rejax

    from pathb_jax.adapters.training_world import VARIANT, task_of

    config = task_of(VARIANT, tier=tier)
    makers: dict[str, Callable[[], Trainer]] = {
        _name("ours", runs, "runs"): functools.partial(Ours, config, runs)
        for runs in sorted({1, *flags.runs})
    }
    for peer in peers:
        if tier == "Large" and peer not in flags.large_peers:
            continue
        if peer == "rejax":
            for seeds in flags.rejax_seeds:
                makers[_name("rejax", seeds, "seeds")] = functools.partial(Rejax, config, seeds)
        elif peer == "brax":
            for unroll in flags.brax_unrolls:
                makers[f"brax, unroll {unroll}"] = functools.partial(Brax, config, unroll)
        else:
            makers[peer] = functools.partial(StableBaselines3 if peer == "sb3" else Sbx, config)
    return makers


def _name(library: str, number: int, unit: str) -> str:
    return library if number == 1 else f"{library}, {number} {unit}"


def comparable(name: str, measured: Mapping[str, Any]) -> str | None:
    """Return the name of ours to compare a subject with; None if it is ours itself."""
    if name.startswith("ours"):
        return None
    library, _, number = name.partition(", ")
    as_many = f"ours, {number.replace('seeds', 'runs')}"
    return as_many if library == "rejax" and as_many in measured else "ours"


def measure(flags: Flags, peers: tuple[Peer, ...], tier: Tier) -> dict[str, harness.Figure]:
    """Measure all subjects of a tier in turn."""
    from peer_trainers import steps_per_second

    subjects = {}
    for name, make in trainers(flags, peers, tier).items():
        print(f"{tier}: warming up {name}", file=sys.stderr)
        subjects[name] = steps_per_second(make(), TrainConfig(tier=tier), flags.seconds)
    return harness.in_turn(subjects, flags.rounds, "env steps/s")


def main() -> int:
    flags = harness.parsed(Flags, __doc__)
    backend.select_backend("auto", host_devices=backend.available_cores())
    versions = installed()
    peers = chosen(flags, versions)
    before = harness.machine()
    headings = ("env steps/s", "range", "ours / theirs [95 %]", "of one rejax [95 %]")
    table = Table("tier", "subject", *headings)
    figures: dict[str, harness.Figure] = {}
    ratios: dict[str, harness.Ratio] = {}
    for tier in flags.tiers:
        measured = measure(flags, peers, tier)
        for name, figure in measured.items():
            figures[f"{tier}, {name}"] = figure
            cells = [*harness.median_and_range(figure.values), "", ""]
            if (ours := comparable(name, measured)) is not None:
                ratio = harness.paired_ratio(measured[ours].values, figure.values)
                ratios[f"{tier}, {name}"] = ratio
                cells[2] = str(ratio)
            if "rejax" in measured and name != "rejax":
                cells[3] = str(harness.paired_ratio(figure.values, measured["rejax"].values))
            table.add_row(tier, name, *cells)
        table.add_section()
    missing = sorted(set(DISTRIBUTIONS) - set(versions))
    content = harness.report(
        "peers",
        flags,
        figures,
        before,
        peers={peer: versions[peer] for peer in peers},
        not_installed=missing,
        ours_over_theirs={name: ratio._asdict() for name, ratio in ratios.items()},
    )
    harness.show(content, table)
    print("peers: " + (", ".join(f"{DISTRIBUTIONS[p]} {versions[p]}" for p in peers) or "none"))
    if missing:
        names = ", ".join(DISTRIBUTIONS[peer] for peer in missing)
        print(f"not installed, so not compared: {names} (the extra `bench` installs them)")
    if left_out := [p for p in peers if "Large" in flags.tiers and p not in flags.large_peers]:
        print(f"not trained at Large (see --large-peers): {', '.join(left_out)}")
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main))
