"""Many runs at once: the bits of each are those of the run alone."""

import json
import os
import subprocess
import sys

import pytest
from small_runs import small_config

from pathb_jax import run
from pathb_jax.store.digest import digest

SIDE_BY_SIDE = """
import json, sys, threading
from pathlib import Path
from pathb_jax import backend
at_once = int(sys.argv[1])
backend.select_backend("cpu", host_devices=at_once)
from pathb_jax import placement, run
from pathb_jax.store.digest import digest
from small_runs import small_config
out, seeds = Path(sys.argv[2]), range(int(sys.argv[3]))
configs = [small_config(out / str(seed), seed=seed) for seed in seeds]
threads = set()
class Watcher(run.Observer):
    def progress(self, progress):
        threads.add(threading.current_thread().name)
order = [finished.position for finished in placement.train_all(configs, Watcher(), at_once)]
digests = [digest(config.output.out)["all"] for config in configs]
print(json.dumps({"order": order, "digests": digests, "threads": sorted(threads)}))
"""


def side_by_side(repository, out, at_once, runs):
    """Train runs of seeds 0, 1, ... in a process of its own, on as many host devices."""
    ended = subprocess.run(
        [sys.executable, "-c", SIDE_BY_SIDE, str(at_once), str(out), str(runs)],
        env={**os.environ, "PYTHONPATH": f"{repository}:{repository}/tests"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Digests of eight runs that were trained one after another."""
    folder = tmp_path_factory.mktemp("alone")
    configs = [small_config(folder / str(seed), seed=seed) for seed in range(8)]
    return [digest(run.train(config).files.out)["all"] for config in configs]


@pytest.mark.parametrize(
    "at_once", [2, *(pytest.param(number, marks=pytest.mark.slow) for number in (4, 8))]
)
def test_a_run_has_the_same_bits_beside_others(at_once, alone, repository, tmp_path):
    assert len(set(alone)) == 8
    report = side_by_side(repository, tmp_path, at_once, 8)
    assert report["digests"] == alone
    assert sorted(report["order"]) == list(range(8))
    assert len(report["threads"]) == at_once
