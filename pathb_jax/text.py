"""What lines show: text of others (in files, paths, flags) as it is; shares; likely names."""

import difflib
from collections.abc import Sequence


def visible(text: str) -> str:
    r"""Return one line in which whatever is not a printable character is spelt out.

    A control sequence could clear a terminal, a line end forge a line of its own, a bidirectional
    mark show words in another order; half a character cannot be written at all.

    >>> print(visible("a\x1b[31mb\r\u202ec\udc80"))
    a\x1b[31mb\r\u202ec\udc80
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def percent(share: float) -> str:
    """Return a share in percent; what is neither 0 nor 1 does not look like it."""
    if 0 < share < 0.001:
        return "less than 0.1 %"
    if 0.999 < share < 1:
        return "more than 99.9 %"
    return f"{100 * share:.1f} %"


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return what a name that is not known may have meant.

    >>> suggestion("value_coeff", ["lr", "value_coef"])
    'is it value_coef?'
    >>> suggestion("x", ["lr", "value_coef"])
    'there are lr, value_coef'
    """
    near = difflib.get_close_matches(name, known, n=1)
    return f"is it {near[0]}?" if near else f"there are {', '.join(known)}"
