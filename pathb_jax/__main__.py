"""`python -m pathb_jax`: the command `pathb`."""

from pathb_jax.cli.main import main

raise SystemExit(main())
