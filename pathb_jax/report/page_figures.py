"""The page's charts as Vega-Lite specifications, without their data: page.js gives them that.

Colours are variables of the page's style, so that light and dark need no second chart.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pathb_jax.ladder.protocol import Protocol
from pathb_jax.report.figures import PANELS
from pathb_jax.report.note_words import number

Spec = dict[str, Any]

PAPER, INK, MUTED, GRID = "var(--paper)", "var(--ink)", "var(--muted)", "var(--line)"
GOOD, BAD = "var(--good)", "var(--bad)"

CONFIG: Spec = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": GRID,
        "domainColor": MUTED,
        "tickColor": MUTED,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "tickCount": 5,
    },
    "mark": {"aria": False},
}


def curve_specs(plan: Protocol | None, logarithmic: bool) -> dict[str, Spec]:
    """Return the charts over updates: the note's training curves, and success.

    Args:
        plan: the protocol, whose thresholds are dashed; None: there are none.
        logarithmic: whether every value_loss is above zero.
    """
    rule = plan.stages.training_dynamics if plan else None
    limits = {"entropy": rule.entropy_below, "value_loss": rule.value_loss_at_most} if rule else {}
    specs = {
        metric: _over_updates(label, limits.get(metric), metric == "value_loss" and logarithmic)
        for metric, label in PANELS.items()
    }
    floor = plan.stages.success_floor.threshold if plan else None
    success = _over_updates("success rate", floor, logarithmic=False)
    success["encoding"]["y"]["scale"] = {"domain": [0, 1]}
    success["layer"][1]["mark"]["point"] = {"filled": True, "size": 30}
    return {**specs, "success": success}


def _over_updates(label: str, limit: float | None, logarithmic: bool) -> Spec:
    """Return a chart of `rows`: run, update, mean, low, high, colour, width, dash."""
    update: Spec = {"field": "update", "type": "quantitative", "title": "update"}
    update["scale"] = {"nice": False}
    scale = {"type": "log"} if logarithmic else {"zero": False}
    colour = {"field": "colour", "type": "nominal", "scale": None}
    layers: list[Spec] = [
        {
            "mark": {"type": "area", "opacity": 0.15, "line": False},
            "encoding": {"x": update, "y": {"field": "low"}, "y2": {"field": "high"}},
        },
        {
            "mark": {"type": "line"},
            "encoding": {
                "x": update,
                "y": {"field": "mean"},
                "strokeWidth": {"field": "width", "type": "quantitative", "scale": None},
                "strokeDash": {"field": "dash", "type": "nominal", "scale": None},
            },
        },
        {
            "transform": [{"pivot": "run", "value": "mean", "groupby": ["update"]}],
            "mark": {"type": "rule", "tooltip": {"content": "data"}, "color": INK},
            "params": [
                {
                    "name": "hover",
                    "select": {
                        "type": "point",
                        "fields": ["update"],
                        "nearest": True,
                        "on": "pointerover, pointerdown",
                        "clear": "pointerout",
                    },
                }
            ],
            "encoding": {
                "x": update,
                "opacity": {
                    "condition": {"param": "hover", "empty": False, "value": 0.5},
                    "value": 0,
                },
            },
        },
        {
            "data": {"values": [{}]},
            "transform": [{"calculate": "at", "as": "update"}, {"filter": "datum.update > 0"}],
            "mark": {"type": "rule", "color": MUTED, "strokeWidth": 1.5},
            "encoding": {"x": update},
        },
    ]
    for layer in layers[:2]:
        layer["encoding"] |= {"color": colour, "detail": {"field": "run"}}
    if limit is not None:
        y = {"datum": limit}
        layers.append(
            {
                "data": {"values": [{}]},
                "mark": {"type": "rule", "color": INK, "strokeDash": [5, 4]},
                "encoding": {"y": y},
            }
        )
        text = {"type": "text", "align": "right", "baseline": "bottom", "dx": -3, "dy": -3}
        halo = {"color": PAPER, "stroke": PAPER, "strokeWidth": 4}
        layers += [
            {
                "data": {"values": [{"text": f"{limit:g}"}]},
                "mark": text | look,
                "encoding": {"y": y, "x": {"value": "width"}, "text": {"field": "text"}},
            }
            for look in (halo, {"color": INK})
        ]
    # The data come after the layout: room for their labels is reserved.
    vertical: Spec = {"type": "quantitative", "title": label, "scale": scale}
    vertical["axis"] = {"minExtent": 44}
    if logarithmic:
        vertical["axis"]["values"] = [10.0**power for power in range(-6, 13)]
    return {
        "width": "container",
        "height": 230,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 2, "right": 20, "top": 14, "bottom": 4},
        "data": {"name": "rows", "values": []},
        "params": [{"name": "at", "value": 0}],
        "encoding": {"y": vertical},
        "layer": layers,
        "config": CONFIG,
    }


def episodes_spec() -> Spec:
    """Return the chart of `rows`: seed, outcome, start, goal and end of each episode.

    Behind them are `rings`: closed lines, of the arena or around the goals; and `paths`: points of
    the episodes whose path is known. Of the others start and end are joined.
    """

    def place(name: str) -> Spec:
        return {
            axis: {"field": f"{name}_{axis}", "type": "quantitative", "title": axis}
            for axis in ("x", "y")
        }

    shown = {
        "color": {
            "field": "outcome",
            "scale": {"domain": ["success", "time-out", "under way"], "range": [GOOD, BAD, INK]},
            "legend": None,
        },
        "tooltip": [
            {"field": "seed"},
            {"field": "outcome"},
            {"field": "steps"},
            {"field": "distance", "title": "end to goal", "format": ".2f"},
        ],
    }
    extent = {"scale": {"domain": [{"expr": "-reach"}, {"expr": "reach"}], "nice": False}}
    end = place("end")
    small = {
        "size": {"expr": "crowded ? 12 : 45"},
        "opacity": {"expr": "crowded ? 0.35 : 0.8"},
    }
    layers: list[Spec] = [
        {
            "data": {"name": "rings", "values": []},
            "mark": {"type": "line", "color": MUTED, "strokeWidth": 1, "interpolate": "linear"},
            "encoding": {**place("ring"), "detail": {"field": "ring"}, "order": {"field": "order"}},
        },
        {
            "data": {"name": "paths", "values": []},
            "mark": {"type": "line", "strokeWidth": 1.2, "interpolate": "linear"}
            | {"opacity": {"expr": "crowded ? 0.25 : 0.7"}},
            "encoding": {
                **place("path"),
                "color": shown["color"],
                "detail": {"field": "seed"},
                "order": {"field": "order"},
            },
        },
        {
            "transform": [{"filter": "!datum.has_path"}],
            "mark": {"type": "rule", "strokeWidth": 1.2, "strokeDash": [2, 3]}
            | {"opacity": {"expr": "crowded ? 0.15 : 0.5"}},
            "encoding": {
                **place("start"),
                "x2": {"field": "end_x"},
                "y2": {"field": "end_y"},
                **shown,
            },
        },
        {
            "mark": {"type": "point", "shape": "square", "color": MUTED, **small},
            "encoding": {**place("start"), "tooltip": shown["tooltip"]},
        },
        {
            "mark": {"type": "point", "shape": "cross", "color": INK, **small},
            "encoding": {**place("goal"), "tooltip": shown["tooltip"]},
        },
        {
            "mark": {"type": "point", "filled": True, "opacity": 0.9, "size": small["size"]},
            "encoding": {**end, **shown},
        },
    ]
    for layer in layers:
        for axis in ("x", "y"):
            layer["encoding"][axis] |= extent
    return {
        "width": 300,
        "height": 300,
        "autosize": {"type": "fit", "contains": "padding"},
        "data": {"name": "rows", "values": []},
        "padding": {"left": 2, "right": 12, "top": 8, "bottom": 4},
        "params": [{"name": "reach", "value": 5}, {"name": "crowded", "value": False}],
        "layer": layers,
        "config": CONFIG,
    }


def curve_text(label: str, ends: Mapping[str, float], limit: float | None) -> str:
    """Return the alternative text of a chart over updates.

    Args:
        label: of its vertical axis.
        ends: run -> its last figure.
        limit: the threshold, if there is one.
    """
    told = "; ".join(f"{name} {number(value)}" for name, value in ends.items())
    threshold = "" if limit is None else f" The threshold {number(limit)} is dashed."
    return f"Line chart of {label} over updates. At the end: {told or 'no run yet'}.{threshold}"


def episodes_text(rates: Sequence[tuple[str, int, int]]) -> str:
    """Return the alternative text of the chart of episodes.

    Args:
        rates: set, successes, seeds of the run shown first.
    """
    told = "; ".join(f"{good} of {seeds} {name}" for name, good, seeds in rates)
    return f"Starts, goals and last positions of evaluation episodes. Successes: {told or 'none'}."
