"""Show how far a ladder or any runs are: `python scripts/status.py --help`."""

from pathb_jax.cli.process import end_with
from pathb_jax.cli.status import main

end_with(main)
