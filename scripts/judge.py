"""Judge any finished runs, and say how sure that is: `python scripts/judge.py --help`."""

from pathb_jax.cli.judge import main
from pathb_jax.cli.process import end_with

end_with(main)
