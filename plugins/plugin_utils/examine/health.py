# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Verify's checks that follow from the catalog alone. Pure."""

from __future__ import annotations


def health_probes(urls: dict[str, str], prefix: str) -> list[dict]:
    """A probe for each service that tells whether it is alive.

    urls: service -> address (the lookup `health`). prefix: what names of containers begin with.
    """
    return [
        {
            "name": f"{service} is alive",
            "kind": "http",
            "group": "Services",
            "options": {"url": url, "service": prefix + service},
        }
        for service, url in urls.items()
    ]
