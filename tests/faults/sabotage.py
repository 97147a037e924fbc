"""A command with something going wrong in it: `sabotage.py COMMAND WORDS...`.

What goes wrong stands in the environment variable PATHB_SABOTAGE, as JSON. The product knows
nothing of this: audit hooks see its file operations, and functions are wrapped from outside.

    {"out": DIR, "trace": FILE}                      list the write points under DIR
    {"out": DIR, "kill": CATEGORY, "nth": N}         SIGKILL right before the Nth of these
    {"when": "module:name", "nth": N, "delay": S, "signals": [..], "gap": S, "mark": FILE}
                                                     signals after the Nth call has begun
    {"nan_after": K, "entropy_coef": X}              NaN in a parameter after K updates
"""

import importlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pathb_jax.cli.process import end_with

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def category(event: str, path: str) -> str:
    """Name a write point without what differs between runs and updates.

    >>> category("open", "mixed_0_90/checkpoints/mixed_ppo_x/45/.state.json.71-0a1b2c3d.tmp")
    'open RUN/checkpoints/SLUG/N/.state.json.tmp'
    """
    parts = re.sub(r"\.[0-9]+-[0-9a-f]{8}\.tmp", ".tmp", path).split("/")
    if re.match(r"(mixed|reward)_", parts[0]):
        parts[0] = "RUN"
    slug = r"(mixed|reward)_ppo[a-z0-9_]*?(?=_history|_evaluation|\.json|\.policy|$)"
    parts = [re.sub(slug, "SLUG", part) for part in parts]
    parts = [re.sub(r"^([0-9]+(?=\.|$)|[0-9a-f]{32}$)", "N", part) for part in parts]
    return f"{event} {'/'.join(parts)}"


def watch_writes(out: Path, seen: Callable[[str], None]) -> None:
    """Call `seen` with its category right before each write point under `out`."""
    root = f"{out}/"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writing = any(c in (mode or "") for c in "wxa+") or (flags or 0) & WRITING
            if not writing:
                return
        elif event in ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "pathb.fsync"):
            path = arguments[0]
        else:
            return
        if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(root):
            seen(category(event, os.fspath(path)[len(root) :]))
        elif event in ("os.rmdir", "os.remove") and arguments[-1] not in (-1, None):
            seen(f"{event} within a deletion")

    fsync: Callable[[Any], None] = os.fsync

    def audited_fsync(fd: Any) -> None:
        sys.audit("pathb.fsync", str(Path(f"/proc/self/fd/{fd}").readlink()))
        fsync(fd)

    os.fsync = audited_fsync
    sys.addaudithook(hook)


def kill_at(out: Path, wanted: str, nth: int) -> None:
    """SIGKILL this process right before the `nth` write point of a category."""
    left = nth

    def seen(point: str) -> None:
        nonlocal left
        left -= point == wanted
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    watch_writes(out, seen)


def trace(out: Path, file: Path) -> None:
    """List the categories in the order of their occurrence."""
    stream = file.open("a")
    watch_writes(out, lambda point: print(point, file=stream, flush=True))


def signals_when(
    where: str, nth: int, delay: float, signals: list[int], gap: float, mark: Path
) -> None:
    """Send signals to this process `delay` seconds after the `nth` call of a function began."""
    module_name, _, dotted = where.partition(":")
    *owners, name = dotted.split(".")
    owner = importlib.import_module(module_name)
    for step in owners:
        owner = getattr(owner, step)
    original, calls = getattr(owner, name), 0

    def send() -> None:
        for signum in signals:
            mark.write_text(str(time.time()))
            os.kill(os.getpid(), signum)
            time.sleep(gap)

    def wrapped(*arguments: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            threading.Timer(delay, send).start()
        return original(*arguments, **more)

    setattr(owner, name, wrapped)


def nan_after(update: int, entropy_coef: float) -> None:
    """Make one weight NaN after this many updates of the candidate with this entropy_coef."""
    import jax.numpy as jnp

    from pathb_jax.learn.program import Program

    train = Program.train

    def poisoned(
        self: Program, state: Any, hparams: Any, env_params: Any, updates: int, span: Any = (0, 0)
    ) -> Any:
        done = int(state.update)
        if span != (0, 0) and abs(float(hparams.entropy_coef) - entropy_coef) < 1e-6:
            if done < update:
                updates = min(updates, update - done)
            elif done == update:
                bad = state.params["log_std"].at[0].set(jnp.nan)
                state = state.replace(params={**state.params, "log_std": bad})
        return train(self, state, hparams, env_params, updates, span)

    Program.train = poisoned  # type: ignore[method-assign]


def main() -> NoReturn:
    what = json.loads(os.environ.get("PATHB_SABOTAGE", "{}"))
    command, words = sys.argv[1], sys.argv[2:]
    if "trace" in what:
        trace(Path(what["out"]), Path(what["trace"]))
    elif "kill" in what:
        kill_at(Path(what["out"]), what["kill"], what["nth"])
    elif "when" in what:
        signals_when(
            what["when"],
            what["nth"],
            what["delay"],
            what["signals"],
            what.get("gap", 0.0),
            Path(what["mark"]),
        )
    elif "nan_after" in what:
        nan_after(what["nan_after"], what["entropy_coef"])
    sys.argv[:2] = [f"{command}.py"]
    end_with(lambda: int(importlib.import_module(f"pathb_jax.cli.{command}").main(words)))


if __name__ == "__main__":
    main()
