# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What has to end well before pods of a new version start (`prepare`): a Job. Pure."""

from __future__ import annotations

import math

from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import pod, storage
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import (
    KubernetesError,
    bytes_of,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import Unit, digest

PREPARE = "prepare"
SECONDS = 600
# Once more, for a pod that its node took along.
RETRIES = 1
# Of what is brought into a claim, so that a newer one fits beside it for a while.
ROOM = 1.25
KEYS = ("command", "seconds", "entrypoint", "memory_mb", "bytes")


def objects(unit: Unit) -> list[dict]:
    """The Job, named after what it does: one that ended well stays, another version has its own.

    Where it brings something into claims there is one for the claims of each pod.
    """
    said = unit.definition.get("prepare")
    if not said:
        return []
    _check(unit, said)
    ordinals = range(unit.most) if storage.claims(unit) else (None,)
    return [_job(unit, said, ordinal) for ordinal in ordinals]


def _job(unit: Unit, said: dict, ordinal: int | None) -> dict:
    spec = {
        "activeDeadlineSeconds": int(said.get("seconds", SECONDS)),
        "backoffLimit": RETRIES,
        "template": pod.once(unit, f"{unit.name}-{PREPARE}", said, ordinal),
    }
    metadata = unit.meta(f"{unit.name}-{PREPARE}-{digest(spec)}")
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _check(unit: Unit, said: dict) -> None:
    if unknown := sorted({*said} - {*KEYS}):
        raise KubernetesError(
            f"{unit.place}: prepare has the key {unknown[0]!r}",
            f"only {', '.join(KEYS)}",
            "correct its name",
        )
    if storage.claims(unit) and unit.most > unit.target.site.replicas_of(unit.service.name):
        raise KubernetesError(
            f"{unit.place} has prepare, claims for each pod, and an autoscaler",
            "a number of pods that is known: nothing would be brought to those that come later",
            "set kubernetes_replicas in place of kubernetes_autoscaling",
        )
    for name in storage.volumes(unit):
        place = f"kubernetes_volumes.{unit.service.name}.{name}"
        declared = storage.declared(unit, name)
        if "scratch" in declared:
            raise KubernetesError(
                f"{place} is scratch, and {unit.place} has prepare",
                "size or claim: what it brings is for pods that come later",
                f"set {place}.size",
            )
        needed = math.ceil(int(said.get("bytes", 0)) * ROOM)
        if "size" in declared and bytes_of(f"{place}.size", declared["size"]) < needed:
            raise KubernetesError(
                f"{place}.size is {declared['size']}",
                f"{math.ceil(needed / 1024**3)}Gi or more: what is brought there, and a quarter",
                "raise it, or bring less",
            )
