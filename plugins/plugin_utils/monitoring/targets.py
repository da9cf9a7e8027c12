# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whom Prometheus asks for numbers, as the catalog says. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import (
    BALANCER,
    MONITORING,
    Service,
    TopologyError,
)
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import Topology

# Tries what has no exporter of its own.
PROBER = "blackbox_exporter"


def jobs(topology: Topology, host: str) -> list[dict]:
    """What a Prometheus on this host asks, in the order of the catalog.

    Each is {name, service, container, kind, path, secret, exporter, targets}, a target {host,
    address}. container: the service whose container it is, as of a further port. kind:
    `metrics` where the service itself is asked, `exporter` where another asks it, `probe` where it
    is only tried whether the service is ready. Services without a host are left out.
    """
    found = []
    for service in topology.services.values():
        if not topology.hosts_of(service.name):
            continue
        if service.metrics:
            found.append(_metrics(topology, service, host))
        if service.exporter:
            found.append(_exporter(topology, service, host))
        if _is_probed(topology, service):
            found.append(_probe(topology, service, host))
    return found


def _metrics(topology: Topology, service: Service, host: str) -> dict:
    _check_client(service, "metrics")
    return {
        **_job(topology, service, host, "metrics"),
        "path": service.metrics,
        "secret": service.metrics_secret,
    }


def _exporter(topology: Topology, service: Service, host: str) -> dict:
    _check_client(service, "an exporter")
    return {
        **_job(topology, service, host, "exporter"),
        "exporter": _exporter_of(topology, service.exporter, host),
    }


def _probe(topology: Topology, service: Service, host: str) -> dict:
    return {
        **_job(topology, service, host, "probe"),
        "name": f"{service.name} ready",
        "path": service.ready or service.health,
        "exporter": _exporter_of(topology, PROBER, host),
        "scheme": "https" if topology.tls and service.name == BALANCER else "http",
    }


def _job(topology: Topology, service: Service, host: str, kind: str) -> dict:
    addresses = topology.endpoints(service.name, host)
    return {
        "name": service.name,
        "service": service.name,
        "container": service.part_of if topology.is_part(service) else service.name,
        "kind": kind,
        "path": "",
        "secret": "",
        "exporter": {},
        "targets": [
            {"host": replica, "address": str(address)}
            for replica, address in zip(topology.hosts_of(service.name), addresses, strict=True)
        ],
    }


def _exporter_of(topology: Topology, name: str, host: str) -> dict:
    """An exporter by its name: the one on Prometheus's own host, where there is one."""
    hosts, addresses = topology.hosts_of(name), topology.endpoints(name, host)
    if not hosts:
        raise TopologyError(
            f"exporter {name!r} of the catalog has no host",
            f"a host in its group {topology.service(name).group!r}",
            "put the monitoring's host into that group",
        )
    nearest = addresses[hosts.index(host)] if host in hosts else addresses[0]
    return {"service": name, "address": str(nearest)}


def _is_probed(topology: Topology, service: Service) -> bool:
    """Whether the monitoring may connect to it and it says that it is ready."""
    return bool(service.health) and MONITORING in service.clients and PROBER in topology.services


def _check_client(service: Service, what: str) -> None:
    if MONITORING not in (service.group, *service.clients):
        raise TopologyError(
            f"platform_services.{service.name} has {what}, and clients {list(service.clients)}",
            f"{MONITORING!r} among its clients",
            "add it, so that firewall and networks let Prometheus connect",
        )
