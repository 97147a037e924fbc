"""Write a policy for other runtimes: `python scripts/export.py --help`."""

from pathb_jax.cli.export import main
from pathb_jax.cli.process import end_with

end_with(main)
