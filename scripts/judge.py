"""Judge any finished runs, and say how sure that is: `python scripts/judge.py --help`."""

import sys

from pathb_jax.cli.judge import main

sys.exit(main())
