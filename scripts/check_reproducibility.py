"""Try the promises of equal bits: `python scripts/check_reproducibility.py --help`."""

import sys

from pathb_jax.cli.reproducibility import main

sys.exit(main())
