"""The errors that the whole project knows."""

from typing import Any

from pathb_jax.text import visible


class InputError(ValueError):
    """Something the user typed or supplied is not acceptable.

    The message is one printable line that names the flag or field, the value and what is allowed.
    Commands print it without a traceback and exit with status 2.

    Args:
        field: the flag (``--tier``) or the field of a file (``stages.success_floor``).
        value: what was found there.
        allowed: what would have been accepted, as a phrase.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        message = f"{field}: {value!r} is not allowed; {allowed}"
        super().__init__(visible(" ".join(message.split())))
        self.field, self.value, self.allowed = field, value, allowed

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are pickled as their class called with `args`, which is the message here.
        return _remade, (type(self), str(self), self.__dict__)


class CheckpointError(RuntimeError):
    """A checkpoint is damaged, does not fit, or could not be saved; the message names what."""


def _remade(kind: type[InputError], message: str, state: dict[str, Any]) -> InputError:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error
