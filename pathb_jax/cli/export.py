"""`export`: a policy for other runtimes."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from pathb_jax.cli import command
from pathb_jax.cli.exit_codes import OK
from pathb_jax.cli.output_files import check_distinct, check_writable
from pathb_jax.config import DefaultHint
from pathb_jax.display.terminal import say
from pathb_jax.errors import InputError

DESCRIPTION = """Write a trained policy for other runtimes.

Both files hold the mean policy with its normaliser and the limit of its actions: observations
[batch, D] to actions [batch, A], float32, any batch. An ONNX model runs in onnxruntime, in browsers
and on devices; a StableHLO export in any JAX, without this package
(jax.export.deserialize(data).call(observations)). Files that are there are not replaced.

Exit status: 0 written; 2 bad input."""


@dataclasses.dataclass(frozen=True)
class ExportFlags:
    """What, and where to."""

    policy: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """A run's folder (its last checkpoint), one checkpoint's folder, or a policy file."""
    onnx: Annotated[Path | None, DefaultHint("none")] = None
    """Write an ONNX model to this file (.onnx). Needs the extra `export`."""
    stablehlo: Annotated[Path | None, DefaultHint("none")] = None
    """Write what jax.export serialises to this file, for CPU, CUDA and TPU."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(ExportFlags, arguments, DESCRIPTION)
    targets = {"--onnx": flags.onnx, "--stablehlo": flags.stablehlo}
    given = {flag: path for flag, path in targets.items() if path is not None}
    if not given:
        raise InputError("--onnx", "(missing)", "give --onnx FILE, --stablehlo FILE or both")
    check_distinct(targets)
    for flag, path in given.items():
        if path.exists() or path.is_symlink():
            raise InputError(flag, str(path), "it is there already, and is not replaced")
        check_writable(flag, path.parent)

    from pathb_jax.api import load_policy
    from pathb_jax.evaluation import exporting
    from pathb_jax.store.atomic import write_atomically

    if flags.onnx is not None and not exporting.can_write_onnx():
        raise InputError("--onnx", str(flags.onnx), exporting.MISSING)
    policy = load_policy(flags.policy, backend="cpu")
    writers = {"--onnx": exporting.to_onnx, "--stablehlo": exporting.to_stablehlo}
    for flag, path in given.items():
        write_atomically(path, writers[flag](policy))
        say(f"{flag.removeprefix('--')}: {path}")
    return OK
