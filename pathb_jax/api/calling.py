"""What every function does around its work: errors name parameters, and JAX computes where told."""

import contextlib
import re
from collections.abc import Iterator

from pathb_jax.config import Backend
from pathb_jax.errors import InputError
from pathb_jax.system import backend


@contextlib.contextmanager
def naming_parameters() -> Iterator[None]:
    """Let errors name parameters, `eval_seeds`, in the place of flags, `--eval-seeds`."""
    try:
        yield
    except InputError as error:
        field, allowed = map(_parameter, (error.field, error.allowed))
        if (field, allowed) == (error.field, error.allowed):
            raise
        raise InputError(field, error.value, allowed) from None


def _parameter(text: str) -> str:
    return re.sub(r"(?<!\S)--([a-z][a-z0-9-]*)", lambda found: found[1].replace("-", "_"), text)


@contextlib.contextmanager
def computing(
    name: Backend, *, deterministic: bool = True, host_devices: int | None = None
) -> Iterator[None]:
    """Compute where the command would, with its precision, while the context lasts."""
    device = backend.choose_device(name, deterministic=deterministic, host_devices=host_devices)
    import jax

    chosen = contextlib.nullcontext() if device is None else jax.default_device(device)
    with chosen, jax.default_matmul_precision("float32"):
        yield
