"""Arrays by name in files of Orbax's; the only module that knows Orbax."""

import contextlib
import functools
import glob
import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pathb_jax.errors import CheckpointError
from pathb_jax.store.trees import Leaf

ARRAYS = "arrays"
"""The folder that holds them, in a checkpoint's."""


@functools.cache
def _orbax() -> Any:
    """Import Orbax (seconds) on first use, and keep its notes and traces out of our output."""
    import orbax.checkpoint as ocp

    logging.getLogger("absl").setLevel(logging.CRITICAL)  # errors reach us as exceptions
    shown = sys.unraisablehook

    def show(late: "sys.UnraisableHookArgs") -> None:
        # what TensorStore's threads still had to say after a save had failed
        if str(late.exc_value) != "Event loop is closed":
            shown(late)

    sys.unraisablehook = show
    return ocp


def _checkpointer() -> Any:
    # uncompressed: float32 noise shrinks by 8 % at six times the time (see test_checkpoints.py)
    handler = _orbax().PyTreeCheckpointHandler(
        use_ocdbt=True, use_zarr3=True, use_compression=False
    )
    return _orbax().Checkpointer(handler)


@contextlib.contextmanager
def _without_patterns(path: Path) -> Iterator[Path]:
    """Reach a folder by a path without `[`, `*` and `?`, which Orbax would look up as patterns."""
    if glob.escape(str(path)) == str(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="pathb-jax-") as folder:
        link = Path(folder) / "to"
        link.symlink_to(path.parent.absolute())
        yield link / path.name


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays into the folder `path`, which is made in one that is there."""
    # Orbax refuses arrays without elements (a history of no rows): state.json describes them fully
    stored = {name: array for name, array in arrays.items() if array.size}
    with _without_patterns(path) as plain, _checkpointer() as checkpointer:
        checkpointer.save(plain, args=_orbax().args.PyTreeSave(stored))


def read_arrays(path: Path, leaves: Mapping[str, Leaf]) -> dict[str, np.ndarray]:
    """Read the named leaves; those without elements, which were never written, are made.

    Raises:
        CheckpointError: Orbax cannot, or holds another shape than state.json says.
    """
    arrays = {name: np.zeros(*leaf.stored_as) for name, leaf in leaves.items() if not leaf.size}
    stored = [name for name in leaves if name not in arrays]
    if not stored:
        return arrays
    as_numpy = _orbax().RestoreArgs(restore_type=np.ndarray)
    args = _orbax().args.PyTreeRestore(
        item=dict.fromkeys(stored, 0),
        restore_args=dict.fromkeys(stored, as_numpy),
        partial_restore=True,
    )
    try:
        with _without_patterns(path) as plain, _checkpointer() as checkpointer:
            # looked at first: reading allocates whatever the files declare
            metadata = checkpointer.metadata(plain).item_metadata.tree
            for name in stored:
                declared = (tuple(metadata[name].shape), str(metadata[name].dtype))
                if declared != leaves[name].stored_as:
                    raise ValueError(f"{name} is stored as {declared}")
            return arrays | checkpointer.restore(plain, args=args)
    except Exception as error:  # Orbax and TensorStore raise whatever they like
        what = " ".join(str(error).split())[:400]
        raise CheckpointError(f"checkpoint {path.parent}: {ARRAYS}: {what}") from error
