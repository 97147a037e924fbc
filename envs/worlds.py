"""What a run may train on: the shadow field, or an environment of somebody else's."""

from pathb_jax.envs.own_world import OwnWorld
from pathb_jax.envs.shadow_field import MesaShadowField

World = MesaShadowField | OwnWorld
"""Both have the methods that training and evaluation call, under the same names."""
