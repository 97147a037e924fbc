"""Train the anchor rows and write their page: `python scripts/reproduce_anchors.py --help`."""

from pathb_jax.cli.anchors import main
from pathb_jax.cli.process import end_with

end_with(main)
