"""What a protocol would adopt, from finished runs, resampled: `python scripts/power.py --help`."""

from pathb_jax.cli.power import main
from pathb_jax.cli.process import end_with

end_with(main)
