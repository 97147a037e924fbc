"""The shadow-field task; importing it registers `MesaShadowField-v0` with gymnax."""

from pathb_jax.envs.plotting import import_matplotlib

import_matplotlib()  # before gymnax does

from gymnax import registration  # noqa: E402

from pathb_jax.envs.fields import Channels, RewardMode, SignatureShape  # noqa: E402
from pathb_jax.envs.shadow_field import ENV_ID, MesaShadowField  # noqa: E402
from pathb_jax.envs.start_states import StartStates, start_states  # noqa: E402
from pathb_jax.envs.world import (  # noqa: E402
    EnvParams,
    EnvState,
    EpisodeMetrics,
    Outcome,
    Reading,
    bank_axes,
    bind,
)

# A reload must not fail on its own earlier registration.
if ENV_ID not in registration.registered_envs:
    registration.register(ENV_ID, MesaShadowField)

__all__ = [
    "ENV_ID",
    "Channels",
    "EnvParams",
    "EnvState",
    "EpisodeMetrics",
    "MesaShadowField",
    "Outcome",
    "Reading",
    "RewardMode",
    "SignatureShape",
    "StartStates",
    "bank_axes",
    "bind",
    "start_states",
]
