"""Real Ray clusters on this machine, for tests: every machine is a `ray start` of its own."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from unittest import mock

import psutil

from pathb_jax.cluster.driver import answers

START_SECONDS = 1800.0
ALL_THERE = """
import sys, time, ray
ray.init(sys.argv[1], log_to_driver=False)
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[2]):
    time.sleep(0.2)
"""


class RayNode:
    """One `ray start`, with all processes that it started."""

    def __init__(self, words: Sequence[str], cores: int) -> None:
        more = ["--num-cpus", str(cores), "--disable-usage-stats", "--block", *words]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", *more],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
        )

    def processes(self) -> list[psutil.Process]:
        """Return what runs there."""
        return psutil.Process(self._process.pid).children(recursive=True)

    def kill(self) -> None:
        """SIGKILL everything at once, as when the machine loses power."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self._process.pid)
            process.suspend()  # so that it cannot tidy up
            for child in [*process.children(recursive=True), process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        self._process.wait()


class RayCluster:
    """A head, and further machines, all on this one."""

    def __init__(self) -> None:
        self.nodes: list[RayNode] = []
        self.address = ""
        self._folder = tempfile.mkdtemp(prefix="ray-")  # a socket's path has to be short

    def start(self, cores: Sequence[int]) -> None:
        """Start machines with so many cores each, the head first; wait for all of them."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        head = ["--head", "--port", str(port), "--include-dashboard=false"]
        self.nodes.append(RayNode([*head, "--temp-dir", self._folder], cores[0]))
        end = time.monotonic() + START_SECONDS
        while not answers("127.0.0.1", port):
            assert time.monotonic() < end, "the head did not start"
            time.sleep(0.1)
        for number in cores[1:]:
            self.nodes.append(RayNode(["--address", self.address], number))
        waiting = [sys.executable, "-c", ALL_THERE, self.address, str(len(cores))]
        done = subprocess.run(waiting, capture_output=True, text=True, timeout=START_SECONDS)
        assert done.returncode == 0, done.stderr

    def kill(self) -> None:
        """SIGKILL all of it."""
        for node in self.nodes:
            node.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def ray_cluster(*cores: int, mode: str = "token") -> Iterator[RayCluster]:
    """Run a cluster of machines with so many cores each, killed at the end.

    It asks for a token of its own, which commands started meanwhile inherit: what is in the user's
    home neither matters nor changes. With the mode "disabled" it asks for none.
    """
    cluster = RayCluster()
    token = {"RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        with mock.patch.dict(os.environ, token):
            cluster.start(cores)
            yield cluster
    finally:
        cluster.kill()
