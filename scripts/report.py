"""Write a ladder's note and page anew: `python scripts/report.py --help`."""

from pathb_jax.cli.process import end_with
from pathb_jax.cli.report import main

end_with(main)
