"""`python -m pathb_jax`: the command `pathb`."""

from pathb_jax.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
