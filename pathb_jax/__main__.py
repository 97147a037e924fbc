"""`python -m pathb_jax`: the command `pathb`."""

from typing import NoReturn

from pathb_jax.cli.main import main
from pathb_jax.cli.process import end_with


def pathb() -> NoReturn:
    """Run `pathb` with this process's words."""
    end_with(main)


if __name__ == "__main__":
    pathb()
