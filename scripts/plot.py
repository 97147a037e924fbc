"""Draw curves of any runs: `python scripts/plot.py --help`."""

from pathb_jax.cli.plot import main
from pathb_jax.cli.process import end_with

end_with(main)
