"""Train the anchor rows and write their page: `python scripts/reproduce_anchors.py --help`."""

import sys

from pathb_jax.cli.anchors import main

sys.exit(main())
