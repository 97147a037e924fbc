"""What moves first when runs unwind, on series whose order is known and on noise."""

import json

import numpy as np
import pytest

from pathb_jax.cli.timeline import main
from pathb_jax.store.artifacts import read_history
from pathb_jax.studies import timeline as module
from pathb_jax.studies.timeline import FIGURES, REFERENCE, peak_window, timeline, turn, turns

ROWS, PEAK, RUNS = 200, 140, 8
ORDER = {"critic": 105, "policy": 122, "behaviour": PEAK}
STUDIES = 60
MOST = 0.05 + 3 * np.sqrt(0.05 * 0.95 / STUDIES)
"""Three standard errors above 5 %."""


def history(rng, at, noise=1.0, memory=0.0):
    """A run whose figures turn at these rows; those that are not named only fluctuate."""
    row = np.arange(ROWS)
    columns = {"update": row + 1}
    for name, figure in FIGURES.items():
        values = rng.normal(size=ROWS)
        for index in range(1, ROWS):
            step = np.sqrt(1 - memory**2) * values[index]
            values[index] = memory * values[index - 1] + step
        values *= noise
        if name == REFERENCE:
            values -= 0.1 * np.abs(row - at[name])
        elif name in at:
            values += figure.worse * 0.1 * np.maximum(row - at[name], 0)
        columns[name] = np.exp(values / 3) if figure.positive else values
    return columns


def studies(at, **noise):
    for number in range(STUDIES):
        rng = np.random.default_rng(number)
        yield timeline([history(rng, at, **noise) for _ in range(RUNS)])


@pytest.fixture
def few_resamples(monkeypatch):
    monkeypatch.setattr(module, "RESAMPLES", 99)


def test_a_known_order_is_found():
    rng = np.random.default_rng(1)
    at = {name: ORDER[figure.part] for name, figure in FIGURES.items()}
    found = timeline([history(rng, at, noise=0.3) for _ in range(RUNS)])
    assert (len(found.runs), found.unwound, found.goes_first) == (RUNS, RUNS, "critic")
    for lead in found.leads:
        expected = PEAK - at[lead.name]
        assert lead.runs == RUNS
        assert abs(lead.median - expected) < 4
        assert lead.interval[0] - 4 < expected < lead.interval[1] + 4
        assert (lead.p_value < 0.05) == (expected > 0)


def test_another_order_is_not_the_critics():
    rng = np.random.default_rng(2)
    order = {"policy": 105, "critic": 122, "behaviour": PEAK}
    at = {name: order[figure.part] for name, figure in FIGURES.items()}
    assert timeline([history(rng, at, noise=0.3) for _ in range(RUNS)]).goes_first == "policy"


@pytest.mark.slow  # hundreds of studies
@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("memory", [0.0, 0.7])
@pytest.mark.parametrize("what", ["only the reward falls", "all turn at once"])
def test_where_nothing_goes_first_nothing_is_said_to(what, memory):
    """By Monte Carlo, with noise that remembers and noise that does not."""
    names = [REFERENCE] if what == "only the reward falls" else FIGURES
    found = list(studies(dict.fromkeys(names, PEAK), memory=memory))
    assert all(study.unwound == RUNS for study in found)
    assert np.mean([study.goes_first is not None for study in found]) <= MOST
    any_leads = [any(lead.p_value < 0.05 for lead in study.leads) for study in found]
    assert np.mean(any_leads) <= MOST


def test_noise_does_not_unwind_and_six_runs_tell_nothing():
    rng = np.random.default_rng(3)
    flat = history(rng, {REFERENCE: PEAK})
    flat[REFERENCE] = rng.normal(size=ROWS)
    assert turns(flat, list(FIGURES)) is None
    at = {name: ORDER[figure.part] for name, figure in FIGURES.items()}
    found = timeline([history(rng, at, noise=0.1) for _ in range(6)] + [flat])
    assert (found.unwound, found.goes_first) == (6, None)
    assert timeline([flat]).goes_first is None


def test_a_turn_is_for_the_worse_and_spikes_are_not_turns():
    rng = np.random.default_rng(4)
    row = np.arange(100)
    bent = np.maximum(row - 60, 0) * 0.1 + rng.normal(0, 0.1, 100)
    assert abs(turn(bent, 1) - 60) <= 3
    assert turn(bent, -1) is None
    assert abs(turn(-bent, -1) - 60) <= 3
    gone = bent.copy()
    gone[::3] = np.nan
    assert abs(turn(gone, 1) - 60) <= 3
    assert turn(0.3 * row + rng.normal(0, 0.1, 100), 1) is None  # straight
    assert turn(-np.sqrt(row) + rng.normal(0, 0.01, 100), 1) is None  # bends, and gets no worse
    assert turn(np.full(100, np.nan), 1) is None


def test_the_window_lies_evenly_around_the_peak():
    reward = -np.abs(np.arange(400.0) - 330)
    first, end = peak_window(reward)
    assert (first + end - 1) / 2 == pytest.approx(330, abs=1)
    assert end == pytest.approx(400, abs=1)
    assert peak_window(np.arange(400.0)) is None  # still rising
    assert peak_window(np.zeros(5)) is None


def test_the_command(finished, tmp_path, capsys):
    path = tmp_path / "timeline.json"
    assert main([str(finished.files.out), "--json", str(path)]) == 0
    told = capsys.readouterr().out
    assert "what goes first: cannot be told" in told
    result = json.loads(path.read_text())
    (run,) = result["runs"]
    assert (run["folder"], run["turns"]) == (str(finished.files.out), None)  # 6 updates
    history = read_history(finished.files.history)
    furthest = int(np.argmax(history["approx_kl"]))
    assert run["largest_jump"]["update"] == furthest + 1
    assert run["largest_jump"]["value_loss"]["at"] == history["value_loss"][furthest]
    assert f"{history['approx_kl'].max():.3f}" in told
    assert (result["unwound"], result["goes_first"]) == (0, None)
    for words in ([], [str(tmp_path)], [str(finished.files.out)] * 2):
        assert main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: RUN")
