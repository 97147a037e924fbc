"""Text that others wrote (in files, paths, flags), shown as the text that it is."""


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
