"""SIGKILL at every kind of write point of a run that keeps its states."""

import collections

import pytest
from commands import leftovers, run, sha, train_words

from pathb_jax.store.integrity import find_damage
from pathb_jax.store.step_folders import complete_steps

pytestmark = pytest.mark.faults


def test_kept_states_survive_a_kill_at_every_kind_of_write_point(tmp_path, tally):
    listed, traced = tmp_path / "trace", tmp_path / "traced"
    flags = {"keep_every": 2, "updates": 12}
    ended = run("train_ppo.py", train_words(traced, **flags), {"out": traced, "trace": listed})
    assert ended.code == 0, ended
    counts = collections.Counter(listed.read_text().splitlines())
    points = [name for name in counts if not name.startswith("pathb.fsync")]
    assert any(name.startswith("os.rename") and ".saving" in name for name in points)
    out, number, killed = tmp_path / "0", 0, 0
    for name in points:
        nth = max(1, counts[name] // 2)
        at = {"out": out, "kill": name, "nth": nth}
        code = run("train_ppo.py", train_words(out, **flags), at).code
        if code == 0:  # it comes no more in what is left of this run: in a fresh one
            number += 1
            at["out"] = out = tmp_path / str(number)
            code = run("train_ppo.py", train_words(out, **flags), at).code
        assert code == -9, (name, nth, code)
        killed += 1
    for folder in map(str, range(number + 1)):
        out = tmp_path / folder
        assert run("train_ppo.py", train_words(out, **flags)).code == 0
        assert (sha(out), leftovers(out)) == (sha(traced), [])
        (checkpoints,) = (out / "checkpoints").iterdir()
        assert {2, 4, 6, 8, 10, 12} <= set(complete_steps(checkpoints))
        for step in complete_steps(checkpoints):
            assert find_damage(checkpoints / str(step)) is None, step
    what = "SIGKILL right before each kind of write point of a run that keeps states"
    tally(what, len(points), killed)
    assert killed == len(points)
