"""Run the stability ladder: `python scripts/ladder.py --help`."""

import sys

from pathb_jax.cli.ladder import main

sys.exit(main())
