# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Numbers as people read them, and the axes that they are drawn on. Pure."""

from __future__ import annotations

import math

from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panel import (
    BYTES,
    COUNT,
    MONEY,
    PERCENT,
    RATE,
    SECONDS,
)

# Of each unit, from large to small: from which value on, what is one, and what it is called.
SCALES = {
    COUNT: ((1e9, 1e9, " G"), (1e6, 1e6, " M"), (1e4, 1e3, " k"), (0, 1, "")),
    RATE: ((1e4, 1e3, " k/s"), (1, 1, "/s"), (0, 1 / 60, "/min")),
    PERCENT: ((0, 1, " %"),),
    SECONDS: ((5400, 3600, " h"), (100, 60, " min"), (1, 1, " s"), (0, 0.001, " ms")),
    BYTES: (
        (2**40, 2**40, " TiB"),
        (2**30, 2**30, " GiB"),
        (2**20, 2**20, " MiB"),
        (0, 1024, " KiB"),
    ),
    MONEY: ((1e4, 1e3, " k$"), (0, 1, " $")),
}
NONE = "-"
# What the largest label of an axis may be, in tens.
STEPS = (1, 2, 5, 10)


def text(value: float | None, unit: str, like: float | None = None) -> str:
    """A value with its unit; `like` another one, as all labels of an axis have one scale."""
    if value is None:
        return NONE
    size = abs(value if like is None else like)
    one, name = next((one, name) for least, one, name in SCALES[unit] if size >= least)
    if not value:
        return "0"
    return f"{_digits(value / one, unit, name)}{name}"


def _digits(value: float, unit: str, name: str) -> str:
    """As many digits as tell something."""
    if unit == COUNT and not name:
        return f"{value:.0f}"
    if unit == MONEY:
        return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 1 else 2 if size >= 0.01 else 3
    return f"{value:.{decimals}f}".rstrip("0").rstrip(".") if decimals else f"{value:.0f}"


def top(peak: float, unit: str) -> float:
    """Where an axis ends that has to hold `peak`."""
    if unit == PERCENT:
        return next((float(end) for end in (5, 10, 20, 50) if peak <= end), 100.0)
    if peak <= 0:
        return 1.0
    one = next(one for least, one, _name in SCALES[unit] if peak >= least)
    ten = 10 ** math.floor(math.log10(peak / one))
    return one * ten * next(step for step in STEPS if step * ten >= peak / one * 0.999)
