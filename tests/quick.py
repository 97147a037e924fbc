"""Compiling for tests whose programs run for milliseconds."""

import functools

import jax

# They need no optimising: it takes three quarters of their compilation. What is compiled is the
# same.
_QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}
quick_jit = functools.partial(jax.jit, compiler_options=_QUICK)
