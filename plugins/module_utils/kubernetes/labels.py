# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Labels of the platform's objects, besides those that its containers have, too."""

from __future__ import annotations

PART_OF = {"app.kubernetes.io/part-of": "intranet-mcp"}
MANAGED_BY = {"app.kubernetes.io/managed-by": "intranet.mcp"}


def selector(labels: dict[str, str], relation: str = "=") -> str:
    """Return what selects the objects that have these labels; with `!=` those that have not."""
    return ",".join(f"{name}{relation}{value}" for name, value in labels.items())
