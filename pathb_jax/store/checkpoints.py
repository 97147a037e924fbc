"""Checkpoints: the whole train state as one unit, complete and verified or not there at all.

Arrays and JSON are all there is, so loading runs no code::

    checkpoints/<slug>/<update>/arrays/        Orbax: the tree's leaves by name, as host arrays
                                state.json     what `State` says
                                manifest.json  SHA-256 of every file, written last (integrity.py)

Here they are found and read; `checkpoint_store` saves them.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import Field, NonNegativeInt

from pathb_jax.errors import CheckpointError, InputError
from pathb_jax.store.integrity import MANIFEST, find_damage, listed_bytes
from pathb_jax.store.json_files import read_json
from pathb_jax.store.models import Model, parse
from pathb_jax.store.orbax_arrays import ARRAYS, read_arrays
from pathb_jax.store.step_folders import SAVING, complete_steps
from pathb_jax.store.trees import Leaf, find_mismatch, rebuild

STATE = "state.json"
ATTEMPTS = 100
"""How often a reader begins again because the run has replaced what it was reading."""
INLINE_BYTES = 2**16
"""What small arrays, which Orbax packs together, may gain by packing."""

Content = TypeVar("Content")


class State(Model, extra="allow"):
    """The content of state.json."""

    update: NonNegativeInt
    success_rate: Annotated[float, Field(ge=0, le=1)] | None
    """Of an evaluation of exactly this state; None: there was none."""
    kept: bool = False
    """Whether it stays for good."""
    leaves: dict[str, Leaf]
    meta: dict[str, Any]
    """What the run that saved it needs back."""


def resolve_checkpoint(path: Path, *, field: str = "--load-checkpoint") -> Path:
    """Return the step's folder that ``path`` stands for.

    Args:
        path: a run folder (its last checkpoint), a ``checkpoints/<slug>`` folder (likewise), or one
            step's folder, which is returned whether or not it is the last.
        field: the flag that an error message blames.

    Returns:
        The absolute folder; complete, but verified only by ``restore``.

    Raises:
        InputError: nothing there, not a checkpoint, or checkpoints of several slugs.
    """
    given, path = path, Path(path).absolute()
    if not path.is_dir():
        raise InputError(field, str(given), "there is no such folder")
    if (path / MANIFEST).is_file() and (path / STATE).is_file():
        return path
    if (path / "checkpoints").is_dir():
        slugs = [slug for slug in sorted((path / "checkpoints").iterdir()) if complete_steps(slug)]
        if len(slugs) > 1:
            names = ", ".join(slug.name for slug in slugs)
            allowed = f"it holds several runs, name one of checkpoints/: {names}"
            raise InputError(field, str(given), allowed)
        path = slugs[0] if slugs else path
    if not (steps := complete_steps(path)):
        allowed = (
            "it has to be a run folder, a checkpoints/<slug> folder or one complete step's folder"
        )
        if any((given.absolute() / "checkpoints").glob(f"*/*{SAVING}")):
            allowed = "its first checkpoint is being written; try again in a moment"
        raise InputError(field, str(given), allowed)
    return path / str(steps[-1])


def read_newest(path: Path, read: Callable[[Path], Content], *, field: str) -> Content:
    """Return what ``read`` makes of the step's folder that ``path`` stands for.

    A run at work deletes and replaces its checkpoints. If that happens under the reader, this
    begins again with what is the newest then.

    Args:
        path: as for ``resolve_checkpoint``.
        read: raises InputError, CheckpointError or OSError for a checkpoint it cannot read.
        field: the flag that an error message blames.

    Raises:
        InputError: as ``resolve_checkpoint``, or the checkpoints change faster than they are read.
    """
    for _ in range(ATTEMPTS):
        step_dir = resolve_checkpoint(path, field=field)
        before = _identity(step_dir)
        try:
            return read(step_dir)
        except (InputError, CheckpointError, OSError):
            if before is not None and _identity(step_dir) == before:
                raise
    allowed = "a run is writing its checkpoints faster than they can be read; try again later"
    raise InputError(field, str(path), allowed)


def _identity(step_dir: Path) -> bytes | None:
    """Return what tells a checkpoint from another under the same name; None: there is none."""
    try:
        return (step_dir / MANIFEST).read_bytes()
    except OSError:
        return None


def read_state(step_dir: Path) -> State:
    """Read state.json, verifying that one file.

    Raises:
        CheckpointError: the checkpoint is incomplete, or the file is damaged or not of this kind.
    """
    _verify(step_dir, only=STATE)
    try:
        return parse(State, read_json(step_dir / STATE), "")
    except InputError as error:
        what = f"{STATE} is not what this program writes ({error})"
        raise CheckpointError(f"checkpoint {step_dir}: {what}") from None


def read_meta(step_dir: Path) -> dict[str, Any]:
    """Return the meta that was given to ``save``; errors as ``read_state``."""
    return read_state(step_dir).meta


def read_leaves(step_dir: Path) -> dict[str, Leaf]:
    """Return what arrays a checkpoint declares; verifies one file, reads no array.

    Raises:
        CheckpointError: as ``read_state``, or it declares more than its files can hold: reading
            would allocate all of it.
    """
    leaves = read_state(step_dir).leaves
    try:
        declared = sum(leaf.nbytes for leaf in leaves.values())
    except TypeError as error:
        raise CheckpointError(f"checkpoint {step_dir}: {STATE}: {error}") from None
    listed = listed_bytes(step_dir)
    if declared > listed + INLINE_BYTES:
        raise CheckpointError(
            f"checkpoint {step_dir}: {STATE} declares {declared} bytes of arrays, "
            f"its files have {listed}"
        )
    return leaves


def restore(step_dir: Path, template: Any) -> Any:
    """Verify a checkpoint and return its arrays in the structure of ``template``.

    Args:
        step_dir: one step's folder.
        template: pytree whose leaves have ``shape`` and ``dtype`` (``jax.eval_shape``'s output will
            do). Leaves are matched by name, and their shapes and dtypes have to agree exactly.

    Returns:
        The template's structure with NumPy leaves on the host, bit for bit as saved (typed random
        keys come back as such). They belong to no device: the caller puts them where it computes.

    Raises:
        CheckpointError: a file is damaged, or a leaf is missing, left over, or of another shape.
    """
    step_dir = Path(step_dir).absolute()
    saved = _verified_leaves(step_dir)
    mismatch = find_mismatch(saved, template)
    if mismatch is not None:
        raise CheckpointError(f"checkpoint {step_dir} does not fit: {mismatch}")
    return rebuild(template, read_arrays(step_dir / ARRAYS, saved))


def named_arrays(step_dir: Path, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Verify a checkpoint and return its arrays by name, without a template.

    Args:
        step_dir: one step's folder.
        names: of the arrays to read; None: all. Those that the checkpoint lacks are left out.

    Raises:
        CheckpointError: a file is damaged.
    """
    step_dir = Path(step_dir).absolute()
    leaves = _verified_leaves(step_dir)
    wanted = {name: leaf for name, leaf in leaves.items() if names is None or name in names}
    return read_arrays(step_dir / ARRAYS, wanted)


def _verified_leaves(step_dir: Path) -> dict[str, Leaf]:
    _verify(step_dir)
    return read_leaves(step_dir)


def _verify(step_dir: Path, only: str | None = None) -> None:
    damage = find_damage(step_dir, only)
    if damage is not None:
        raise CheckpointError(f"checkpoint {step_dir}: {damage}")
