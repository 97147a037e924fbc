"""How files that this tool wrote on request are recognised: no other file is ever replaced."""

from collections.abc import Callable
from pathlib import Path

from pathb_jax.errors import InputError
from pathb_jax.store.json_files import decode_json

SOFTWARE = "pathb_jax"
"""What pictures say of the program that drew them."""


def picture_files(png: str) -> tuple[str, str]:
    """Return both files of a figure, given the PNG: an SVG lies beside it."""
    return png, png.removesuffix(".png") + ".svg"


IsOwn = Callable[[bytes], bool]
"""Says whether a file's content is of one kind that this tool writes."""


def is_own_picture(data: bytes) -> bool:
    """Recognise a picture by what it says of the program: its own text, comment, creator or title.

    The earliest PNG pictures say nothing.
    """
    head, name = data[:2000], SOFTWARE.encode()
    if head.startswith(b"\x89PNG"):
        return b"tEXtSoftware\x00" + name in head
    if head.startswith(b"GIF89a"):
        return b"!\xfe" + bytes([len(name)]) + name + b"\x00" in head
    if head.startswith(b"%PDF-"):
        return b"/Creator (" + name + b")" in data
    return head.startswith(b"<?xml") and b"<dc:title>" + name + b"</dc:title>" in head


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
