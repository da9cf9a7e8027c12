# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What has to end well before pods of a new version start (`prepare`): a Job. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import pod, storage
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import KubernetesError
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import Unit, digest

PREPARE = "prepare"
SECONDS = 600
# Once more, for a pod that its node took along.
RETRIES = 1


def objects(unit: Unit) -> list[dict]:
    """The Job, named after what it does: one that ended well stays, another version has its own."""
    said = unit.definition.get("prepare")
    if not said:
        return []
    if storage.claims(unit):
        raise KubernetesError(
            f"{unit.place} has prepare, and claims for each of its pods",
            "one of both: a pod that prepares would have no claim",
            "have its program prepare at its start",
        )
    spec = {
        "activeDeadlineSeconds": int(said.get("seconds", SECONDS)),
        "backoffLimit": RETRIES,
        "template": pod.once(unit, f"{unit.name}-{PREPARE}", said["command"]),
    }
    metadata = unit.meta(f"{unit.name}-{PREPARE}-{digest(spec)}")
    return [{"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}]
