"""Go on from a kept state with one change each, many times: `python scripts/fork.py --help`."""

from pathb_jax.cli.fork import main
from pathb_jax.cli.process import end_with

end_with(main)
