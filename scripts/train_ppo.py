"""Train one run, or evaluate a checkpoint: `python scripts/train_ppo.py --help`."""

from pathb_jax.cli.process import end_with
from pathb_jax.cli.train import main

end_with(main)
