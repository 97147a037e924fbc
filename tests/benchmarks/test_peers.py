import importlib.metadata
import threading

import pytest
from peer_brax import Pausing
from peer_trainers import Counts, Ours, steps_per_second
from peers import DISTRIBUTIONS, Flags, chosen, comparable, installed, trainers

from pathb_jax.adapters.training_world import VARIANT, task_of
from pathb_jax.config import TrainConfig
from pathb_jax.errors import InputError

VERSIONS = {"rejax": "0.1.3", "brax": "0.14.2", "sb3": "2.9.2"}


def test_what_is_installed_is_compared_with_unless_something_is_asked_for():
    assert chosen(Flags(), VERSIONS) == ("rejax", "brax", "sb3")
    assert chosen(Flags(peers=("brax",)), VERSIONS) == ("brax",)


def test_a_library_that_is_asked_for_and_not_there_is_an_error():
    with pytest.raises(InputError, match="sbx-rl"):
        chosen(Flags(peers=("rejax", "sbx")), VERSIONS)


def test_only_what_pip_knows_counts_as_installed(monkeypatch: pytest.MonkeyPatch):
    def version(name: str) -> str:
        if name != "brax":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2"

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert installed() == {"brax": "1.2"}


def test_every_choice_is_a_subject_and_slow_libraries_are_spared_large():
    flags = Flags(runs=(2, 4), rejax_seeds=(1, 4), brax_unrolls=(128, 8))
    peers = tuple(DISTRIBUTIONS)
    ours = ["ours", "ours, 2 runs", "ours, 4 runs"]
    both = [*ours, "rejax", "rejax, 4 seeds", "brax, unroll 128", "brax, unroll 8"]
    assert list(trainers(flags, peers, "Small")) == [*both, "sb3", "sbx"]
    assert list(trainers(flags, peers, "Large")) == both


def test_as_many_of_ours_are_compared_as_there_are_seeds():
    measured = dict.fromkeys(["ours", "ours, 4 runs", "rejax", "rejax, 2 seeds", "brax, unroll 8"])
    assert [comparable(name, measured) for name in measured] == [None, None, "ours", "ours", "ours"]
    assert comparable("rejax, 4 seeds", measured) == "ours, 4 runs"


@pytest.mark.parametrize(
    "flags",
    [Flags(rounds=0), Flags(runs=(1, 0)), Flags(rejax_seeds=(0,)), Flags(brax_unrolls=(48,))],
    ids=["rounds", "runs", "seeds", "unroll"],
)
def test_what_no_library_could_do_is_refused(flags: Flags):
    Flags().check()
    with pytest.raises(InputError, match="--"):
        flags.check()


class Pretended:
    """Counts as told: `steps` and `minibatches` an iteration."""

    seeds = 1

    def __init__(self, steps: int, minibatches: int | None) -> None:
        self.calls: list[int] = []
        self._steps, self._minibatches = steps, minibatches

    def train(self, iterations: int) -> None:
        self.calls.append(iterations)

    def counts(self) -> Counts:
        done = sum(self.calls)
        updates = None if self._minibatches is None else self._minibatches * done
        return Counts(self._steps * done, updates)


def test_a_measurement_repeats_a_call_that_was_made_before():
    trainer = Pretended(8192, 128)
    measure = steps_per_second(trainer, TrainConfig(), 3600.0)
    warm = list(trainer.calls)
    assert measure() > 0
    assert trainer.calls == [*warm, warm[-1]]


def test_however_short_a_round_one_iteration_is_measured():
    trainer = Pretended(8192, None)
    steps_per_second(trainer, TrainConfig(), 0.0)()
    assert trainer.calls == [1, 1, 1]


@pytest.mark.parametrize(("steps", "minibatches"), [(4096, 128), (8192, 32), (16384, None)])
def test_a_trainer_that_does_something_else_is_not_compared(steps: int, minibatches: int | None):
    measure = steps_per_second(Pretended(steps, minibatches), TrainConfig(), 0.0)
    with pytest.raises(RuntimeError, match="Pretended did"):
        measure()


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 3])
def test_ours_counts_what_the_pinned_shapes_mean(runs):
    config = task_of(VARIANT, tier="Small")
    trainer = Ours(config, runs)
    before = trainer.counts()
    trainer.train(2)
    steps, minibatches = trainer.counts()
    assert steps - before.env_steps == runs * 2 * 64 * 128
    assert minibatches - before.minibatches == 2 * 4 * 32


def test_paused_work_goes_on_only_when_it_is_asked_to():
    parts = []

    def work(pause):
        for part in range(10):
            parts.append(part)
            pause(part)

    paused = Pausing(work)
    assert parts == []
    assert [paused.advance() for _ in range(3)] == [0, 1, 2]
    assert parts == [0, 1, 2]
    paused.close()
    assert parts == [0, 1, 2]
    with pytest.raises(RuntimeError, match="ended"):
        paused.advance()


def test_closing_lets_the_work_clean_up_and_ends_its_thread():
    cleaned = threading.Event()

    def work(pause):
        try:
            while True:
                pause(None)
        finally:
            cleaned.set()

    before = set(threading.enumerate())
    paused = Pausing(work)
    paused.advance()
    paused.close()
    paused.close()
    assert cleaned.is_set()
    assert set(threading.enumerate()) <= before


def test_an_error_of_the_work_reaches_who_waits_for_it():
    def work(pause):
        pause(1)
        raise KeyError("inside")

    paused = Pausing(work)
    assert paused.advance() == 1
    with pytest.raises(KeyError, match="inside"):
        paused.advance()
    with pytest.raises(RuntimeError, match="ended"):
        paused.advance()


def test_work_that_ends_early_is_an_error():
    with pytest.raises(RuntimeError, match="before it was closed"):
        Pausing(lambda pause: None).advance()
