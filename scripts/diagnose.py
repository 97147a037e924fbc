"""Watch a protocol's default hyper-parameters unwind: `python scripts/diagnose.py --help`."""

from pathb_jax.cli.diagnose import main
from pathb_jax.cli.process import end_with

end_with(main)
