"""Run the stability ladder: `python scripts/ladder.py --help`."""

from pathb_jax.cli.ladder import main
from pathb_jax.cli.process import end_with

end_with(main)
