"""Believe nothing of a ladder or a run unchecked: `python scripts/verify.py --help`."""

from pathb_jax.cli.process import end_with
from pathb_jax.cli.verify import main

end_with(main)
