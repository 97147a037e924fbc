"""How files that this tool wrote on request are recognised: no other file is ever replaced."""

from collections.abc import Callable
from pathlib import Path

from pathb_jax.errors import InputError
from pathb_jax.store.json_files import decode_json

SOFTWARE = "pathb_jax"
"""What pictures say of the program that drew them."""

IsOwn = Callable[[bytes], bool]
"""Says whether a file's content is of one kind that this tool writes."""


def is_own_picture(data: bytes) -> bool:
    """Recognise a PNG picture by its text chunk; those of earlier versions have none."""
    head = data[:300]
    return head.startswith(b"\x89PNG") and b"tEXtSoftware\x00" + SOFTWARE.encode() in head


def is_own_json(*keys: str, **values: str) -> IsOwn:
    """Recognise a JSON object by keys that it has and by values of keys."""

    def is_own(data: bytes) -> bool:
        try:
            content = decode_json(Path(), data)
        except InputError:
            return False
        return (
            isinstance(content, dict)
            and content.keys() >= set(keys)
            and all(content.get(name) == value for name, value in values.items())
        )

    return is_own


def is_own_csv(columns: tuple[str, ...]) -> IsOwn:
    """Recognise a CSV table by its first columns."""
    return lambda data: data.startswith(",".join(columns).encode() + b",")
