"""Train lambda's envelope and write its page: `python scripts/envelope.py --help`."""

import sys

from pathb_jax.cli.envelope import main

sys.exit(main())
