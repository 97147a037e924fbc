"""What tests seldom look at and takes most of their time: compiling well, rendering figures."""

import functools

import jax
import matplotlib.figure
import pytest

# They need no optimising: it takes three quarters of their compilation. What is compiled is the
# same.
_QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}
quick_jit = functools.partial(jax.jit, compiler_options=_QUICK)


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Draw figures but do not render them, and do not measure this machine's speed for long."""
    patch.setattr(matplotlib.figure.Figure, "savefig", lambda *_, **__: None)
    patch.setattr("pathb_jax.ladder.estimate.PROBE_SECONDS", 0.0)
