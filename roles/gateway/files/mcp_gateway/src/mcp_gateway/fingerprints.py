"""Tools whose description changed behind our back.

A model trusts what a tool says of itself. The first description that the gateway sees (or the one
that an administrator accepted) is the one it vouches for; a later one is reported, or refused.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile

from mcp_gateway.catalog import Item
from mcp_gateway.config import ConfigError
from mcp_gateway.settings import Drift

log = logging.getLogger("mcp_gateway.drift")
Accepted = dict[str, dict[str, str]]


class Fingerprints:
    """Accepted fingerprints by server and tool, and what differs from them now."""

    def __init__(self, settings: Drift) -> None:
        self.settings = settings
        self.accepted: Accepted = {}
        self.drifted: dict[tuple[str, str], str] = {}
        self._not_kept = ""  # why, as far as it was said
        if settings.accepted_file:
            self.accepted = read_accepted(settings.accepted_file)

    @property
    def blocks(self) -> bool:
        return self.settings.action == "block"

    def go_on_from(self, previous: Fingerprints, servers: list[str]) -> None:
        """Take over what is known of these servers, whose lists are not read anew after a reload.

        Without this a changed tool would be let through until its server's list changes again.
        """
        self.accepted = self.accepted or previous.accepted
        self.drifted = {
            key: fingerprint
            for key, fingerprint in previous.drifted.items()
            if key[0] in servers and not self._is_accepted(*key, fingerprint)
        }

    def _is_accepted(self, server: str, tool: str, fingerprint: str) -> bool:
        return self.accepted.get(server, {}).get(tool) == fingerprint

    def observe(self, server: str, items: list[Item]) -> list[str]:
        """Compare a fresh list; the names of tools that newly drifted."""
        known_before = server in self.accepted
        accepted = self.accepted.setdefault(server, {})
        newly = []
        for item in items:
            key = (server, item.name)
            first = accepted.get(item.name)
            if first is None and not (known_before and self.blocks):
                accepted[item.name] = item.fingerprint
            elif first == item.fingerprint:
                self.drifted.pop(key, None)
            elif self.drifted.get(key) != item.fingerprint:
                self.drifted[key] = item.fingerprint
                newly.append(item.name)
                what = "appeared after the others were accepted" if first is None else "changed"
                log.warning(
                    "tool %r of %s %s: was %s, is %s%s",
                    item.name,
                    server,
                    what,
                    (first or "unknown")[:12],
                    item.fingerprint[:12],
                    "; refused until accepted" if self.blocks else "",
                )
        return newly

    def is_blocked(self, server: str, tool: str) -> bool:
        """Whether calls of this tool are refused for its drift."""
        return self.blocks and (server, tool) in self.drifted

    def vouches_for(self, item: Item) -> bool:
        """Whether a tool may be shown as its server shows it now, perhaps to one caller alone."""
        accepted = self.accepted.get(item.server)
        if not self.blocks or accepted is None:
            return True
        return accepted.get(item.name) == item.fingerprint

    def save_first(self) -> None:
        """Write down first sights, so that a restart compares with them too."""
        path = self.settings.accepted_file
        if not path:
            return
        try:
            on_disk = read_accepted(path)
            if on_disk != self.accepted:
                merged = {s: {**t, **on_disk.get(s, {})} for s, t in self.accepted.items()}
                write_accepted(path, {**on_disk, **merged})
            self._not_kept = ""
        except (ConfigError, OSError) as error:  # comparing goes on by what is known
            if str(error) != self._not_kept:
                self._not_kept = str(error)
                log.warning("accepted fingerprints cannot be kept in %s: %s", path, error)


def read_accepted(path: str) -> Accepted:
    """The accepted fingerprints in a file; empty when there is none yet."""
    try:
        with open(path, encoding="utf-8") as handle:
            data = json.load(handle)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(path, [f"cannot be read as accepted fingerprints: {error}"]) from None
    if not isinstance(data, dict) or not all(isinstance(v, dict) for v in data.values()):
        raise ConfigError(path, ["expected {server: {tool: fingerprint}}"])
    return data


def write_accepted(path: str, accepted: Accepted) -> None:
    """Replace the file in one step."""
    folder = os.path.dirname(path) or "."
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as handle:
        try:
            json.dump(accepted, handle, indent=1, sort_keys=True)
            handle.write("\n")
            handle.flush()
            os.replace(handle.name, path)
        except BaseException:
            os.unlink(handle.name)
            raise
