# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The cluster that objects are rendered for, and one service in it. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from ansible_collections.intranet.mcp.plugins.module_utils.engine.definition import (
    LABEL_OWNER,
    LABEL_SERVICE,
)
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.labels import (
    MANAGED_BY,
    PART_OF,
)
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import Service
from ansible_collections.intranet.mcp.plugins.module_utils.topology.cluster import object_name
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import Topology
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import (
    KubernetesError,
    Site,
)

NAME = "app.kubernetes.io/name"
# Whose objects those of the whole platform are.
SHARED = "platform"


@dataclass(frozen=True)
class Target:
    """A cluster of the inventory.

    host: its name there. images: name -> reference, as its nodes pull it. trust: files of the
    site's authorities (bytes) by name, and their digest; empty where it has none. addresses: those
    of the names that destinations outside have. with_secrets: whether Secrets are objects, too.
    metrics_secrets: what services ask Prometheus for, by the catalog's name of it.
    alerts: the bounds that alert rules name.
    """

    topology: Topology
    host: str
    site: Site
    images: dict = field(default_factory=dict)
    trust: dict = field(default_factory=dict)
    trust_digest: str = ""
    addresses: dict = field(default_factory=dict)
    with_secrets: bool = False
    metrics_secrets: dict = field(default_factory=dict)
    alerts: dict = field(default_factory=dict)

    @property
    def services(self) -> list[Service]:
        """What has pods of its own here."""
        return self.topology.containers_on(self.host)

    def meta(self, name: str, owner: str, labels: dict | None = None) -> dict:
        """The metadata of an object."""
        return {
            "name": name,
            "namespace": self.site.namespace,
            "labels": {**(labels or {}), **PART_OF, **MANAGED_BY, LABEL_OWNER: owner},
        }


@dataclass(frozen=True)
class Unit:
    """A service, as its role defines it and as the catalog says it."""

    definition: dict
    service: Service
    owner: str
    target: Target

    @property
    def name(self) -> str:
        return object_name(self.service.name)

    @property
    def selector(self) -> dict:
        return selector(self.service)

    @property
    def identity(self) -> dict:
        """What NetworkPolicies know its pods by, those that prepare it included."""
        return {LABEL_SERVICE: self.name}

    @property
    def ports(self) -> list[Service]:
        """Everything that it listens on."""
        ports = self.target.topology.ports_of(self.service)
        return [port for port in ports if port.has_port]

    @property
    def has_peers(self) -> bool:
        """Whether its pods talk to each other; where one of several leads, there is one here."""
        return any(port.peers for port in self.ports) and not self.service.frontend

    @property
    def place(self) -> str:
        """How messages name it."""
        return f"service {self.service.name!r}"

    @property
    def most(self) -> int:
        return self.target.site.most_of(self.service.name)

    def meta(self, name: str = "") -> dict:
        return self.target.meta(name or self.name, self.owner, self.selector)


def selector(service: Service) -> dict:
    """What tells the pods that serve from others."""
    return {NAME: object_name(service.name)}


def port_name(port: Service) -> str:
    """What a port is called; a path says that it speaks HTTP."""
    is_http = port.health or port.ready or port.metrics
    return f"{'http' if is_http else 'tcp'}-{port.inside_port}"


def unit(definition: dict, owner: str, target: Target) -> Unit:
    """A definition with its entry of the catalog, which has to be meant for this cluster."""
    services = {service.name: service for service in target.services}
    if definition["name"] not in services:
        raise KubernetesError(
            f"service {definition['name']!r} is none of the catalog on {target.host!r}",
            f"one of {', '.join(sorted(services)) or 'none'}",
            f"put {target.host!r} into its group, or have the role define it elsewhere",
        )
    return Unit(definition, services[definition["name"]], owner, target)


def digest(*parts: object) -> str:
    """What tells contents apart, short enough for a name."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def peers(given: dict) -> list[dict]:
    """Pods of another namespace, and networks, as a NetworkPolicy names them; perhaps none."""
    found = []
    if given.get("namespace"):
        peer = {
            "namespaceSelector": {
                "matchLabels": {"kubernetes.io/metadata.name": given["namespace"]}
            }
        }
        if given.get("labels"):
            peer["podSelector"] = {"matchLabels": dict(given["labels"])}
        found.append(peer)
    return found + [{"ipBlock": {"cidr": network}} for network in given.get("networks", [])]
