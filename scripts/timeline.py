"""Say what moves first when runs unwind: `python scripts/timeline.py --help`."""

from pathb_jax.cli.process import end_with
from pathb_jax.cli.timeline import main

end_with(main)
