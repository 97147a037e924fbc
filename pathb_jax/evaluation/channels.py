"""What the intervention battery edits, and when. Holds no JAX.

Source: docs/spec/battery.md.
"""

CHANNELS = ("reward", "observation", "signature-sensor", "geometry", "basin-position")
UNSEEN = ("reward", "basin-position")
"""Channels that no subject observes: what it does cannot depend on their edits."""

UNEDITED = "none"
"""What tables call the side without an edit."""

EDIT_STEP = 50
SEED_START, SEEDS = 10000, 64
OLD_BASIN, NEW_BASIN = (-2.5, -2.5), (2.5, 2.5)
SEEN_POSITION = (4.5, 4.5)
"""What the position entries of the observation are replaced by."""
SENSOR_SCALE = 0.1
GOAL_SHIFT = 2.0
