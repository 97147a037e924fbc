"""NaN from outside the product: that run diverges, and the ladder goes on."""

import numpy as np
import pytest
from commands import HIGH_ENTROPY, ladder_words, run, sha
from small_runs import figures, read, rows

from pathb_jax.store.checkpoints import named_arrays
from pathb_jax.store.step_folders import complete_steps

pytestmark = pytest.mark.faults


def assert_finite(folder):
    for path in folder.rglob("*.csv"):
        for row in rows(path):
            for words in ("terminalOutcome", "channel"):
                row.pop(words, None)
            if not row.get("actionResponseL2"):  # of an episode without an edit
                row.pop("actionResponseL2", None)
            assert np.isfinite(figures(row)).all(), path


@pytest.mark.parametrize("after", [0, 7, 10, 49])
def test_nan_in_the_first_candidate(after, whole, tmp_path, tally):
    out = tmp_path / "out"
    words = ladder_words(whole.protocol, out)
    ended = run("ladder.py", words, {"nan_after": after, "entropy_coef": HIGH_ENTROPY})
    assert ended.code == 0, ended
    record = read(out / "ladder.json")
    first, second = record["candidates"]
    assert (first["status"], second["status"]) == ("diverged", "adopted")
    assert first["failure_mode"] == "diverged"
    assert first["diverged"].endswith(f" not finite at update {after + 1}")
    assert f"update {after + 1}" in first["stages"][0]["reasons"][0]
    assert_finite(out)
    checkpoints = out / first["run_dir"] / "checkpoints" / first["slug"]
    kept = complete_steps(checkpoints)
    # At every fifth update there is one; the last before the NaN is kept, and is finite.
    assert kept[-1:] == [after // 5 * 5][: after // 5]
    for update in kept:
        for name, array in named_arrays(checkpoints / str(update)).items():
            if name == "history":  # its last three columns are of episodes
                array = array[:, :-3]
            assert array.dtype.kind != "f" or np.isfinite(array).all(), (update, name)
    # The second candidate is not a bit another for it, and again nothing is left to do.
    twin = whole.out / second["run_dir"]
    assert sha(out / second["run_dir"]) == sha(twin)
    again = run("ladder.py", words)
    assert again.code == 0
    assert "has finished; nothing to train" in again.err
    tally(f"NaN in a parameter after update {after}", 1, 1, first["diverged"])
