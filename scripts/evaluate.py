"""Play a checkpoint, policy file or controller: `python scripts/evaluate.py --help`."""

import sys

from pathb_jax.cli.evaluate import main

sys.exit(main())
