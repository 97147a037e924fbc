"""Train one run, or evaluate a checkpoint: `python scripts/train_ppo.py --help`."""

import sys

from pathb_jax.cli.train import main

sys.exit(main())
