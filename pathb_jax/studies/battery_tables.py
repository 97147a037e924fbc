"""The battery's tables: responses, success and alignment, basin preferences, labels, pairs."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pathb_jax.evaluation.channels import CHANNELS, UNEDITED
from pathb_jax.store.tables import write_table

if TYPE_CHECKING:
    from pathb_jax.evaluation.battery import Battery
    from pathb_jax.studies.battery import Mean, PolicyFigures, Side

Row = dict[str, Any]

FIRST_COLUMNS = {
    "response.csv": ("policy", "channel", "pairs", "left_out", "action_response_L2"),
    "proxy.csv": ("policy", "edit", "seeds", "success_count", "success_rate"),
    "basin.csv": ("policy", "channel", "old_basin_preference"),
    "labels.csv": ("policy", "label", "tier", "variant", "mixed_lambda"),
    "pairs.csv": ("policy", "channel", "seed", "action_response_L2"),
}
"""Files, and the columns that each begins with."""


def write_tables(
    out: Path, figures: "Sequence[PolicyFigures]", batteries: "Sequence[Battery]"
) -> list[Path]:
    """Write the tables, each whole or not at all; a figure that is missing is an empty cell.

    Returns:
        The files.

    Raises:
        OSError: one cannot be written.
    """
    rows: dict[str, list[Row]] = {
        "response.csv": [row for policy in figures for row in _responses(policy)],
        "proxy.csv": [row for policy in figures for row in _proxies(policy)],
        "basin.csv": [row for policy in figures for row in _basins(policy)],
        "labels.csv": [_label(policy) for policy in figures],
    }
    written = []
    for name, content in rows.items():
        _write(out / name, {column: [row[column] for row in content] for column in content[0]})
        written.append(out / name)
    _write(out / "pairs.csv", _pairs([policy.name for policy in figures], batteries))
    return [*written, out / "pairs.csv"]


def _write(path: Path, columns: dict[str, Any]) -> None:
    write_table(path, columns, may_lack=columns)


def _responses(policy: "PolicyFigures") -> Iterator[Row]:
    for figures in policy.channels:
        yield {
            "policy": policy.name,
            "channel": figures.channel,
            "pairs": policy.seeds - figures.left_out,
            "left_out": figures.left_out,
            **_cells("action_response_L2", figures.action_response),
            **_cells("terminal_position_divergence", figures.divergence),
        }


def _proxies(policy: "PolicyFigures") -> Iterator[Row]:
    sides = {UNEDITED: policy.unedited} | {each.channel: each.edited for each in policy.channels}
    for edit, side in sides.items():
        yield {"policy": policy.name, "edit": edit, "seeds": policy.seeds, **_side(side)}


def _side(side: "Side") -> Row:
    low, high = side.success_interval_95
    return {
        "success_count": side.success_count,
        "success_rate": side.success_rate,
        "success_low": low,
        "success_high": high,
        **_cells("mean_terminal_alignment", side.alignment),
    }


def _basins(policy: "PolicyFigures") -> Iterator[Row]:
    for figures in policy.channels:
        yield {
            "policy": policy.name,
            "channel": figures.channel,
            **_cells("old_basin_preference", figures.preference),
        }


def _label(policy: "PolicyFigures") -> Row:
    tier, variant, mixed_lambda = policy.training or ("", "", None)
    published = policy.published[0] if policy.published else None
    low, high = published.preference if published else (None, None)
    return {
        "policy": policy.name,
        "label": policy.label,
        "tier": tier,
        "variant": variant,
        "mixed_lambda": _number(mixed_lambda),
        "sensor_tier": policy.sensor_tier,
        "success_rate": policy.unedited.success_rate,
        "mean_terminal_alignment": policy.unedited.alignment.mean,
        "old_basin_preference": policy.of("basin-position").preference.mean,
        "signature_sensor_response": _number(policy.of("signature-sensor").action_response.mean),
        "published_preference_low": _number(low),
        "published_preference_high": _number(high),
        "published_signature_sensor_response": _number(
            published.sensor_response if published else None
        ),
    }


def _cells(name: str, mean: "Mean") -> Row:
    low, high = mean.interval_95 or (None, None)
    return {name: _number(mean.mean), f"{name}_low": _number(low), f"{name}_high": _number(high)}


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _pairs(names: Sequence[str], batteries: "Sequence[Battery]") -> dict[str, np.ndarray]:
    """Return a column per figure, with a row for each policy, channel and seed."""
    shape = (len(batteries), len(CHANNELS), len(batteries[0].seeds))

    def column(values: Iterable[Any]) -> np.ndarray:
        return np.broadcast_to(np.array(list(values)), shape).ravel()

    def both(name: str, leaf: str) -> dict[str, np.ndarray]:
        off = column(getattr(battery.unedited, leaf)[None] for battery in batteries)
        on = column(getattr(battery.edited, leaf) for battery in batteries)
        return {f"{name}_unedited": off, f"{name}_edited": on}

    return {
        "policy": np.broadcast_to(np.array(names)[:, None, None], shape).ravel(),
        "channel": np.broadcast_to(np.array(CHANNELS)[:, None], shape).ravel(),
        "seed": np.broadcast_to(batteries[0].seeds, shape).ravel(),
        "action_response_L2": column(battery.action_response for battery in batteries),
        "terminal_position_divergence": column(battery.divergence for battery in batteries),
        "old_basin_preference": column(battery.preference for battery in batteries),
        **both("steps", "steps"),
        **both("alignment", "alignment"),
        **{name: each.astype(int) for name, each in both("success", "success").items()},
    }
