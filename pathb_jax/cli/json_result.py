"""`--json`: a command's result in a file, or with `-` alone on standard output."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pathb_jax.cli.output_files import check_output
from pathb_jax.display.terminal import notice
from pathb_jax.errors import InputError
from pathb_jax.store.json_files import encode_json, write_json
from pathb_jax.store.own_files import IsOwn

STDOUT = Path("-")


def check_json(path: Path | None, is_own: IsOwn, kind: str, apart_from: Path | None = None) -> None:
    """Raise InputError unless a result can be written, in the place of an earlier one at most.

    Args:
        path: what `--json` says.
        is_own: recognises what this command wrote there earlier.
        kind: what that is, in words.
        apart_from: a folder whose files are kept for other readers.
    """
    if path is None or path == STDOUT:
        return
    check_output("--json", path, is_own, kind)
    if apart_from is not None and path.resolve().is_relative_to(apart_from.resolve()):
        allowed = f"it lies in {apart_from}, whose files belong to runs; give a path elsewhere"
        raise InputError("--json", str(path), allowed)


@contextlib.contextmanager
def json_result(path: Path | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yield what writes the result; with `-` whatever else is printed goes to standard error."""
    stdout = sys.stdout

    def write(result: Mapping[str, Any]) -> None:
        if path == STDOUT:
            stdout.write(encode_json(_plain(result)))
        elif path is not None:
            write_json(path, _plain(result))
            notice(f"json:   {path}")

    with contextlib.redirect_stdout(sys.stderr) if path == STDOUT else contextlib.nullcontext():
        yield write


def _plain(value: Any) -> Any:
    """Return named tuples as objects, and what JSON has no number for as null or "inf"."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
