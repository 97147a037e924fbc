"""Play a checkpoint, policy file or controller: `python scripts/evaluate.py --help`."""

from pathb_jax.cli.evaluate import main
from pathb_jax.cli.process import end_with

end_with(main)
