"""Bars as SVG takes them. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

WIDTH, HEIGHT = 600, 120


class Bar(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    label: str


def bars(days: list[dict[str, Any]], of: str) -> list[Bar]:
    """Return a bar a day; one with a request is never too low to be seen."""
    highest = max((day[of] for day in days), default=0) or 1
    step = WIDTH / max(len(days), 1)
    found = []
    for at, day in enumerate(days):
        height = round(day[of] / highest * HEIGHT, 1)
        height = max(height, 2.0) if day[of] else 0.0
        label = f"{day['date']}: {day[of]:,}"
        found.append(
            Bar(round(at * step + 1, 1), HEIGHT - height, round(step - 2, 1), height, label)
        )
    return found
