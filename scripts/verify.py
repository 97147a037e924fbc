"""Believe nothing of a ladder or a run unchecked: `python scripts/verify.py --help`."""

import sys

from pathb_jax.cli.verify import main

sys.exit(main())
