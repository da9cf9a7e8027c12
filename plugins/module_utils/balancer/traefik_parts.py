# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What every part of Traefik's configuration is written with. Pure."""

from __future__ import annotations


def router(entry: str, rule: str, service: str, middlewares: list[str], priority: int) -> dict:
    """A route; of several that match, the one with the highest priority is taken."""
    return {
        "entryPoints": [entry],
        "rule": rule,
        "service": service,
        "middlewares": middlewares,
        "priority": priority,
    }


def below(path: str) -> str:
    """The rule for a path and all below it."""
    return f"Path(`{path}`) || PathPrefix(`{path}/`)"
