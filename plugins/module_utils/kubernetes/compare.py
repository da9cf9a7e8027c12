# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What differs between two states of an object, without what the cluster keeps about it. Pure."""

from __future__ import annotations

import copy
from typing import Any

# Kept by the cluster: it changes by itself, or with every change.
_OF_CLUSTER = (
    "creationTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)
_ANNOTATIONS_OF_CLUSTER = ("deployment.kubernetes.io/revision",)
HIDDEN, HIDDEN_CHANGED = "(hidden)", "(hidden, changed)"


def own(found: dict | None) -> dict:
    """An object without what the cluster keeps about it."""
    if not found:
        return {}
    kept = copy.deepcopy({key: value for key, value in found.items() if key != "status"})
    metadata = kept.get("metadata", {})
    for key in _OF_CLUSTER:
        metadata.pop(key, None)
    for key in _ANNOTATIONS_OF_CLUSTER:
        metadata.get("annotations", {}).pop(key, None)
    if not metadata.get("annotations", True):
        del metadata["annotations"]
    return kept


def difference(before: dict | None, after: dict | None) -> tuple[dict, dict]:
    """Those parts of two states that differ; both empty where none does."""
    first, second = own(before), own(after)
    if "Secret" in (first.get("kind"), second.get("kind")):
        first, second = _hidden(first, second)
    return _parts(first, second)


def _parts(before: Any, after: Any) -> tuple[Any, Any]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        return before, after
    old, new = {}, {}
    for key in [*before, *(key for key in after if key not in before)]:
        if key in before and key in after:
            if before[key] != after[key]:
                old[key], new[key] = _parts(before[key], after[key])
        elif key in before:
            old[key] = before[key]
        else:
            new[key] = after[key]
    return old, new


def _hidden(before: dict, after: dict) -> tuple[dict, dict]:
    """Values of a Secret are told by no diff; that they differ is."""
    old, new = before.get("data") or {}, after.get("data") or {}
    changed = {key for key in new if key in old and old[key] != new[key]}
    return (
        {**before, **({"data": dict.fromkeys(old, HIDDEN)} if old else {})},
        {
            **after,
            **(
                {"data": {key: HIDDEN_CHANGED if key in changed else HIDDEN for key in new}}
                if new
                else {}
            ),
        },
    )
