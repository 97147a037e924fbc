"""The shadow-field task; importing it registers `MesaShadowField-v0` with gymnax."""

from gymnax import registration

from envs.fields import Channels, RewardMode, SignatureShape
from envs.shadow_field import ENV_ID, MesaShadowField
from envs.start_states import StartStates, start_states
from envs.world import (
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
