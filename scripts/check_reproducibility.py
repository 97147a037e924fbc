"""Try the promises of equal bits: `python scripts/check_reproducibility.py --help`."""

from pathb_jax.cli.process import end_with
from pathb_jax.cli.reproducibility import main

end_with(main)
