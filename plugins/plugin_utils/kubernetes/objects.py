# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Service definitions, the catalog and a site as the objects of a Kubernetes cluster. Pure.

Everything that a definition says is rendered or refused by name (refusals). What is in another file
of this package is decided there; here it is put together, in an order that stays the same.
"""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.kinds import place_of
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.labels import (
    MANAGED_BY,
    PART_OF,
)
from ansible_collections.intranet.mcp.plugins.module_utils.topology.cluster import object_name
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import (
    alerts,
    cloudnative,
    configuration,
    entry,
    monitors,
    policies,
    preparation,
    refusals,
    storage,
    workloads,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import KubernetesError
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import (
    Target,
    Unit,
    unit,
)

SECURITY = "pod-security.kubernetes.io"


def of_owner(definitions: list[dict], owner: str, target: Target) -> list[dict]:
    """The objects of a role's services."""
    units = _units(definitions, owner, target)
    return _ordered([found for one in units for found in _of(one)])


def of_platform(target: Target, settings: dict) -> list[dict]:
    """The objects that all services share: the namespace, what is closed in it, entry, alerts."""
    _check_names(target)
    return _ordered(
        [
            *([] if target.site.has_namespace else [_namespace(target)]),
            policies.default(target),
            *configuration.trust(target),
            *entry.entry(target, settings),
            *alerts.objects(target),
        ]
    )


def needed_by_platform(target: Target, settings: dict) -> list[dict]:
    """Secrets of what all services share that the site makes itself."""
    needed = entry.needed_secret(target, settings)
    return [needed] if needed else []


def needed_secrets(definitions: list[dict], owner: str, target: Target) -> list[dict]:
    """Secrets that the site makes itself: service, name and keys of each."""
    found = [
        needed(one) for one in _units(definitions, owner, target) for needed in _needed_of(one)
    ]
    return [secret for secret in found if secret]


def _needed_of(one: Unit):
    if cloudnative.is_meant(one):
        return (cloudnative.needed_secret,)
    return (configuration.needed_secret, monitors.needed_secret)


def _units(definitions: list[dict], owner: str, target: Target) -> list[Unit]:
    units = [unit(refusals.check(one), owner, target) for one in definitions]
    for one in units:
        if not cloudnative.is_meant(one):
            refusals.check_count(one)
    return units


def _of(one: Unit) -> list[dict]:
    if cloudnative.is_meant(one):
        return cloudnative.objects(one)
    return [
        policies.of(one),
        *configuration.objects(one),
        *entry.service(one),
        *storage.objects(one),
        *preparation.objects(one),
        *workloads.objects(one),
        *monitors.objects(one),
    ]


def _ordered(found: list[dict]) -> list[dict]:
    return sorted(found, key=place_of)


def _namespace(target: Target) -> dict:
    """The platform's own, which takes no pod that is not restricted."""
    levels = {f"{SECURITY}/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": target.site.namespace,
            "labels": {**levels, **PART_OF, **MANAGED_BY},
        },
    }


def _check_names(target: Target) -> None:
    """Refuse two services whose objects would have one name."""
    taken: dict[str, str] = {}
    for service in target.services:
        other = taken.setdefault(object_name(service.name), service.name)
        if other != service.name:
            raise KubernetesError(
                f"services {other!r} and {service.name!r} are both called "
                f"{object_name(service.name)!r} in a cluster",
                "names that differ in more than '_' and '-'",
                "rename one of them",
            )
