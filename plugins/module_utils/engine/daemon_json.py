# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Docker's daemon.json: read it, add what we need, keep what others put there. Pure."""

from __future__ import annotations

import json

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError

# `log-opts` belong to these drivers; journald or syslog refuse them and the daemon would not start.
_ROTATING_DRIVERS = ("json-file", "local")


class DaemonJsonError(ServiceError):
    """The file cannot be merged."""

    reason = "daemon_json"


def parse(text: str, path: str) -> dict:
    """The settings in the file; an absent or empty file has none."""
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DaemonJsonError(
            f"{path} is not valid JSON ({error})",
            "one object",
            "repair it or move it away: dockerd would not start with it either, and nothing of it "
            "is overwritten",
        ) from error
    if not isinstance(found, dict):
        raise DaemonJsonError(
            f"{path} holds a {type(found).__name__}",
            "one JSON object",
            "repair it or move it away",
        )
    return found


def merge(current: dict, settings: dict, defaults: dict, absent: dict) -> dict:
    """`current` with our part in it.

    settings win over what is there, defaults only fill gaps, absent is taken out again (values
    that were changed since stay). Objects merge key by key, lists gain our items at their end.
    """
    merged = _overlay(_without(current, absent), settings)
    return _fill(merged, _fitting(defaults, merged))


def dump(settings: dict) -> str:
    return json.dumps(settings, indent=4) + "\n"


def changed_keys(before: dict, after: dict) -> list[str]:
    """Top-level keys that differ, so that the caller knows whether a reload is enough."""
    names = list(before) + [key for key in after if key not in before]
    return sorted(key for key in names if before.get(key) != after.get(key))


def _overlay(current, wanted):
    if isinstance(current, dict) and isinstance(wanted, dict):
        merged = dict(current)
        for key, value in wanted.items():
            merged[key] = _overlay(current[key], value) if key in current else value
        return merged
    if isinstance(current, list) and isinstance(wanted, list):
        return current + [item for item in wanted if item not in current]
    return wanted


def _fill(current: dict, defaults: dict) -> dict:
    filled = dict(current)
    for key, value in defaults.items():
        if key not in current:
            filled[key] = value
        elif isinstance(value, dict) and isinstance(current[key], dict):
            filled[key] = _fill(current[key], value)
    return filled


def _fitting(defaults: dict, current: dict) -> dict:
    if current.get("log-driver", "json-file") in _ROTATING_DRIVERS:
        return defaults
    return {key: value for key, value in defaults.items() if key != "log-opts"}


def _without(current: dict, absent: dict) -> dict:
    kept = {}
    for key, value in current.items():
        gone = absent.get(key)
        if key not in absent:
            kept[key] = value
        elif isinstance(value, dict) and isinstance(gone, dict):
            rest = _without(value, gone)
            if rest:
                kept[key] = rest
        elif isinstance(value, list) and isinstance(gone, list):
            rest = [item for item in value if item not in gone]
            if rest:
                kept[key] = rest
        elif value != gone:
            kept[key] = value
    return kept
