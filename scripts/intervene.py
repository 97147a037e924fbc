"""Edit one channel in mid-episode, and see what policies steer by: `--help` says more."""

from pathb_jax.cli.intervene import main
from pathb_jax.cli.process import end_with

end_with(main)
