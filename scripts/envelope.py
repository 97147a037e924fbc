"""Train lambda's envelope and write its page: `python scripts/envelope.py --help`."""

from pathb_jax.cli.envelope import main
from pathb_jax.cli.process import end_with

end_with(main)
