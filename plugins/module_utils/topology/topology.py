# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who reaches whom: the one place that turns an inventory into endpoints, flows and ports.

Pure: it takes the catalog (roles/platform) and the inventory's groups, and returns decisions.
Nothing here does I/O, so every rule is a unit test.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import (
    BALANCER,
    MONITORING,
    PLATFORM,
    Service,
    TopologyError,
)
from ansible_collections.intranet.mcp.plugins.module_utils.topology.cluster import (
    Cluster,
    object_name,
    peers_name,
)
from ansible_collections.intranet.mcp.plugins.module_utils.topology.external import (
    External,
    opened,
)

# Clients of a service that are no inventory group.
USERS = "users"  # the company network: people and their CLIs
OPERATOR = "operator"  # whoever is logged in on the service's own host
REMOTE_OPERATORS = "remote_operators"  # who opens the monitoring's pages from elsewhere

# Groups whose hosts talk to every replica themselves; all others use one address.
REACH_EVERY_REPLICA = (BALANCER, MONITORING)
# The balancer's plain port for the platform's own hosts; the one for people has the group's name.
INSIDE = "load_balancer_inside"
# Its port for the monitoring's pages, where it has one.
PAGES = "load_balancer_pages"

LOOPBACK = "127.0.0.1"
WILDCARD = "0.0.0.0"  # noqa: S104  published on purpose, and only when a flow needs it
WILDCARD6 = "::"


@dataclass(frozen=True)
class Endpoint:
    """Where a client reaches a service."""

    host: str
    port: int
    scheme: str = "http"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as people write it, without the port that the scheme implies."""
        implied = {"http": 80, "https": 443}[self.scheme] == self.port
        place = str(self).removesuffix(f":{self.port}") if implied else str(self)
        return f"{self.scheme}://{place}"


@dataclass(frozen=True)
class Flow:
    """Inbound traffic one host must accept. `sources` are CIDRs."""

    service: str
    port: int
    sources: tuple[str, ...]
    proto: str = "tcp"

    def lets_in(self, addresses: list) -> bool:
        """Whether somebody with one of these addresses may use it."""
        networks = [ipaddress.ip_network(source, strict=False) for source in self.sources]
        return any(address in network for address in addresses for network in networks)

    def as_dict(self) -> dict:
        return {
            "service": self.service,
            "port": self.port,
            "proto": self.proto,
            "sources": list(self.sources),
        }


@dataclass
class Topology:
    """The catalog laid over an inventory.

    groups: inventory group -> host names. addresses: host name -> addresses (v4 and v6) by which
    the others reach it. users_networks, remote_operators: CIDRs of these pseudo clients. names:
    host name -> further names it is known by. public_name: what the balancer is called in DNS. tls:
    whether people reach the balancer over TLS. shared: addresses with prefix length, held by one
    balancer at a time. network: what the names of the containers' networks begin with. clusters:
    those of the hosts that are Kubernetes clusters. external: services that a server elsewhere is.
    """

    services: dict[str, Service]
    groups: dict[str, list[str]]
    addresses: dict[str, list[str]]
    users_networks: list[str] = field(default_factory=list)
    remote_operators: list[str] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)
    container_prefix: str = ""
    network: str = ""
    public_name: str = ""
    tls: bool = False
    shared: list[str] = field(default_factory=list)
    clusters: dict[str, Cluster] = field(default_factory=dict)
    external: dict[str, External] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.services = opened(self.services, self.external)
        # What runs on every host is not for clusters, which have others' pods, too.
        hosts = every_host(self.services, self.groups)
        own = [host for host in hosts if host not in self.clusters]
        self.groups = {**self.groups, PLATFORM: own}
        for service in self.services.values():
            self._check_group(service.group)

    def _check_group(self, group: str) -> None:
        hosts = self.groups.get(group, [])
        clusters = [host for host in hosts if host in self.clusters]
        if clusters and len(hosts) > 1:
            raise TopologyError(
                f"group {group!r} has the cluster {clusters[0]!r} and other hosts "
                f"({', '.join(host for host in hosts if host != clusters[0])})",
                "either one cluster or hosts: a cluster has replicas of its own",
                "take one of the two out of the group",
            )

    @property
    def balancers(self) -> list[str]:
        return self.groups.get(BALANCER, [])

    @property
    def shared_addresses(self) -> list[str]:
        """The addresses that balancers share, without prefix length."""
        return [str(interface.ip) for interface in self.shared_interfaces()]

    @property
    def balancer_address(self) -> str:
        """Where the balancer is found, whichever host it is just now."""
        if self.shared and self.balancers:
            return self.shared_addresses[0]
        if len(self.balancers) > 1:
            raise TopologyError(
                f"group {BALANCER!r} has {len(self.balancers)} hosts "
                f"({', '.join(self.balancers)}) and no address that they share",
                "a free address of their network, with its prefix length",
                "set platform_balancer_address, say to 10.0.0.10/24, or leave one host in it",
            )
        return self.address(self.balancers[0])

    def service(self, name: str) -> Service:
        if name not in self.services:
            known = ", ".join(sorted(self.services))
            raise TopologyError(
                f"unknown service {name!r}; the catalog (platform_services) has: {known}"
            )
        return self.services[name]

    def hosts_of(self, service: str) -> list[str]:
        return list(self.groups.get(self.service(service).group, []))

    def services_on(self, host: str) -> list[Service]:
        return [s for s in self.services.values() if host in self.groups.get(s.group, [])]

    def endpoint(self, name: str, client: str) -> Endpoint:
        """Where `client` (a host name) reaches the service: itself, its host, or the balancer."""
        service = self.service(name)
        if name in self.external:
            return Endpoint(self.external[name].host, self.external[name].port)
        hosts = self.hosts_of(name)
        if not hosts:
            raise TopologyError(
                f"service {name!r} has no host: put at least one host into group {service.group!r}"
            )
        if self._goes_through_balancer(service):
            frontend = self.service(service.frontend or INSIDE)
            if client in self.balancers:
                return self._own_container(BALANCER, frontend, client)
            return Endpoint(self.balancer_address, frontend.port)
        if client in hosts:
            return self._own_container(name, service, client)
        return Endpoint(self.address(hosts[0]), service.port)

    def user_endpoint(self, name: str) -> Endpoint:
        """Where people reach the service from their own machines."""
        service = self.service(name)
        hosts = self.hosts_of(name)
        is_entry = self.is_behind_entry(service)
        if is_entry or (self.balancers and service.is_behind_balancer):
            host = self.public_name or (
                self.address(hosts[0]) if is_entry else self.balancer_address
            )
            return Endpoint(host, self.service(BALANCER).port, "https" if self.tls else "http")
        if not hosts:
            raise TopologyError(
                f"service {name!r} has no host: put at least one host into group {service.group!r}"
            )
        return Endpoint(self.address(hosts[0]), service.port)

    def is_behind_entry(self, service: Service) -> bool:
        """Whether people reach it through the Ingress or Gateway of a cluster.

        It stands in the balancer's place, where the inventory has none.
        """
        is_in_cluster = any(host in self.clusters for host in self.hosts_of(service.name))
        is_for_users = USERS in service.clients and service.is_behind_balancer
        return is_in_cluster and is_for_users and not self.balancers

    def peer_endpoint(self, name: str, host: str) -> Endpoint:
        """Where the other replicas reach the one on this host; in a cluster all of its pods."""
        if host in self.clusters:
            return Endpoint(peers_name(name), self.service(name).port)
        return Endpoint(self.address(host), self.service(name).port)

    def pools(self, balancer: str) -> list[dict]:
        """What the balancer on this host distributes to: every service behind it, each replica."""
        return [
            {
                "service": service.name,
                "ready": service.ready or service.health,
                "alive": service.health,
                "servers": [
                    {
                        "name": host,
                        "address": str(endpoint),
                        # A container's address changes with the container: its name is looked up.
                        "is_name": host == balancer,
                    }
                    for host, endpoint in zip(
                        self.hosts_of(service.name),
                        self.endpoints(service.name, balancer),
                        strict=True,
                    )
                ],
            }
            for service in self.services.values()
            if service.is_behind_balancer and self.hosts_of(service.name)
        ]

    def pages(self, client: str) -> list[dict]:
        """What the balancer serves to operators elsewhere, as `client` reaches each; perhaps none.

        url: where operators open it. hidden: paths that it would answer to people without a login.
        """
        return [
            {
                "service": service.name,
                "path": service.page,
                "url": f"{self._pages_url}{service.page}/",
                "has_login": service.has_login,
                "health": service.health,
                "hidden": [path for path in (service.metrics, service.health) if path],
                "address": str(self.endpoint(service.name, client)),
                "is_name": client in self.hosts_of(service.name),
            }
            for service in self.services.values()
            if self._is_page(service) and self.hosts_of(service.name)
        ]

    @property
    def _pages_url(self) -> str:
        host = self.public_name or self.balancer_address
        return Endpoint(host, self.service(PAGES).port, "https").url

    def _is_page(self, service: Service) -> bool:
        return bool(service.page and self.balancers) and PAGES in self.services

    def shared_interfaces(self) -> list:
        """The shared addresses, parsed."""
        found = []
        for text in self.shared:
            try:
                found.append(ipaddress.ip_interface(text))
                is_whole = "/" in text
            except ValueError:
                is_whole = False
            if not is_whole:
                raise TopologyError(
                    f"platform_balancer_address has {text!r}",
                    "an address with the prefix length of its network",
                    "write it like 10.0.0.10/24 or fd00::10/64",
                )
        return found

    def replicas(self) -> list[dict]:
        """Every replica of what a balancer stands in front of, as a proxy elsewhere reaches it."""
        return [
            {
                "service": service.name,
                "servers": [
                    {"name": host, "address": str(Endpoint(self.address(host), service.port))}
                    for host in self.hosts_of(service.name)
                ],
            }
            for service in self.services.values()
            if service.is_behind_balancer and self.hosts_of(service.name)
        ]

    def leaders(self, balancer: str) -> list[dict]:
        """What the balancer on this host passes to one member only, the one that leads.

        `check` is the port and path that say which one that is, empty where the service itself
        is asked.
        """
        return [
            self._leader(service, balancer)
            for service in self.services.values()
            if service.frontend and self._goes_through_balancer(service)
        ]

    def _leader(self, service: Service, balancer: str) -> dict:
        asked = next(
            (s for s in self.services.values() if s.part_of == service.name and s.ready), None
        )
        places = zip(
            self.hosts_of(service.name), self.endpoints(service.name, balancer), strict=True
        )
        return {
            "service": service.name,
            "port": self.service(service.frontend).inside_port,
            "path": asked.ready if asked else "",
            "servers": [
                {
                    "name": host,
                    "address": str(endpoint),
                    "is_name": host == balancer,
                    "check_port": self._port_from(asked, host == balancer) if asked else 0,
                }
                for host, endpoint in places
            ],
        }

    def _port_from(self, service: Service, is_here: bool) -> int:
        return service.inside_port if is_here else service.port

    def _is_asked_by_balancer(self, service: Service) -> bool:
        """Whether the balancer passes connections to it, or asks it who leads."""
        owner = self.services.get(service.part_of, service)
        is_meant = service is owner or bool(service.ready)
        return is_meant and bool(owner.frontend) and self._goes_through_balancer(owner)

    def is_part(self, service: Service) -> bool:
        """Whether it is a further port of another service's container."""
        return service.part_of in self.services

    def _goes_through_balancer(self, service: Service) -> bool:
        """Whether clients inside the platform use the balancer: where it has a choice to make.

        Also those on a replica's own host: theirs is the one that restarts under them.
        """
        replicas = len(self.hosts_of(service.name))
        has_way = service.is_behind_balancer or bool(service.frontend)
        return bool(self.balancers) and has_way and replicas > 1

    def _own_container(self, name: str, service: Service, host: str) -> Endpoint:
        container = service.part_of if self.is_part(service) else name
        if host in self.clusters:
            return Endpoint(self.clusters[host].service_of(container), service.port)
        return Endpoint(self.container_prefix + container, service.inside_port)

    def endpoints(self, name: str, client: str) -> list[Endpoint]:
        """Every replica as `client` reaches it, for clients that balance on their own."""
        service = self.service(name)
        return [
            self._own_container(name, service, host)
            if host == client
            else Endpoint(self.address(host), service.port)
            for host in self.hosts_of(name)
        ]

    def known_as(self, name: str) -> list[str]:
        """Every name and address by which somebody may address the service, without port."""
        hosts = _unique(self.hosts_of(name) + self.balancers)
        clusters = [host for host in hosts if host in self.clusters]
        found = [object_name(name)] if clusters else [self.container_prefix + name, name]
        if self.public_name and (self.balancers or clusters):
            found.append(self.public_name)
        if self.balancers:
            found += self.shared_addresses
        for host in hosts:
            own = [] if host in clusters else [host, *self.names.get(host, [])]
            found += [*own, *self.addresses_of(host)]
        return _unique(found)

    def address(self, host: str) -> str:
        known = self.addresses.get(host) or []
        if not known:
            raise TopologyError(
                f"no address known for host {host!r}: set platform_address in the inventory"
            )
        return known[0]

    def flows(self, host: str) -> list[Flow]:
        """The inbound flows this host must accept; every other port of the catalog is closed."""
        found = []
        for service in self.services_on(host):
            sources = self._sources(service, host)
            if sources:
                found.append(Flow(service.name, service.port, tuple(sources), service.proto))
        return sorted(found, key=lambda flow: (flow.port, flow.service))

    def publish(self, name: str, host: str) -> list[str]:
        """Addresses on which the service's port is published: none, loopback, or all."""
        service = self.service(name)
        if not service.has_port:
            return []
        if self._sources(service, host):
            return [WILDCARD, *([WILDCARD6] if self._is_shared_over_6(service) else [])]
        return [LOOPBACK] if OPERATOR in service.clients else []

    def _is_shared_over_6(self, service: Service) -> bool:
        """Whether people come to an IPv6 address, which the engine then has to serve."""
        is_balancer = BALANCER in (service.name, service.part_of)
        return is_balancer and any(interface.version == 6 for interface in self.shared_interfaces())

    def managed_ports(self, host: str) -> list[int]:
        """Ports the catalog gives to services of this host, open or not."""
        return sorted({service.port for service in self.services_on(host) if service.has_port})

    def neighbours(self, host: str) -> list[dict]:
        """Every other host of the platform as this one must find it: the matrix's row of `host`.

        host, addresses, ports (every port of the catalog, whoever runs it) and open (those of them
        that must answer this host).
        """
        others = [other for other in self.hosts if other != host]
        if not others:
            return []
        mine = [ipaddress.ip_address(address) for address in self.addresses_of(host)]
        ports = sorted({s.port for s in self.services.values() if s.has_port})
        return [
            {
                "host": other,
                "addresses": [
                    address
                    for address in self.addresses_of(other)
                    if ipaddress.ip_address(address).version in {own.version for own in mine}
                ],
                "ports": ports,
                "open": sorted(
                    {f.port for f in self.flows(other) if f.proto == "tcp" and f.lets_in(mine)}
                ),
            }
            for other in others
        ]

    @property
    def hosts(self) -> list[str]:
        """Every host that a service runs on, by name."""
        return sorted({h for s in self.services.values() for h in self.groups.get(s.group, [])})

    def _sources(self, service: Service, host: str) -> list[str]:
        """CIDRs from which the service on `host` is used over the network (not inside the host)."""
        found: list[str] = []
        for client in service.clients:
            is_shielded = self.balancers and service.is_behind_balancer
            if client == USERS and not (is_shielded or self.is_behind_entry(service)):
                found += self.users_networks
            if client == REMOTE_OPERATORS:
                found += self.remote_operators
        for group in self.client_groups(service):
            found += self._sources_of(self.groups.get(group, []), host)
        return _unique(found)

    def client_groups(self, service: Service) -> list[str]:
        """Groups whose services open connections to the service's own port."""
        is_shielded = self._goes_through_balancer(service)
        found = [
            client
            for client in service.clients
            if client not in (USERS, OPERATOR, REMOTE_OPERATORS)
            and (client in REACH_EVERY_REPLICA or not is_shielded)
        ]
        if self._is_asked_by_balancer(service) or self._is_page(service):
            found.append(BALANCER)
        if service.peers:
            found.append(service.group)
        return _unique(found)

    def containers_on(self, host: str) -> list[Service]:
        """The services of a host that have a container on a network of the platform's."""
        return [s for s in self.services_on(host) if s.has_port and not self.is_part(s)]

    def ports_of(self, service: Service) -> list[Service]:
        """The service and its parts: everything its container listens on."""
        return [service, *(s for s in self.services.values() if s.part_of == service.name)]

    def _sources_of(self, hosts: list[str], host: str) -> list[str]:
        others = [other for other in hosts if other != host]
        return [network for other in others for network in self.sources_of(other)]

    def sources_of(self, host: str) -> list[str]:
        """CIDRs from which connections of a host arrive at others."""
        if host not in self.clusters:
            return [cidr(address) for address in self.addresses_of(host)]
        if not self.clusters[host].sources:
            raise TopologyError(
                f"pods of the cluster {host!r} connect to other hosts of the platform, and from "
                "which networks is not known",
                "those of its nodes",
                "set kubernetes_networks.nodes (or .outbound, where they are others) in the "
                "inventory",
            )
        return list(self.clusters[host].sources)

    def addresses_of(self, host: str) -> list[str]:
        # A cluster needs an address only where other hosts connect to it.
        if host not in self.clusters:
            self.address(host)
        return self.addresses.get(host) or []


def every_host(services: dict[str, Service], groups: dict[str, list[str]]) -> list[str]:
    """The hosts of all groups of the catalog, once each."""
    own = [service.group for service in services.values() if service.group != PLATFORM]
    return _unique([host for group in own for host in groups.get(group, [])])


def cidr(address: str) -> str:
    """A host address as a CIDR: 10.0.0.5 -> 10.0.0.5/32."""
    try:
        return str(ipaddress.ip_network(address))
    except ValueError as error:
        raise TopologyError(
            f"{address!r} is not an IP address ({error}): set platform_address to the address "
            "by which the other hosts reach this one"
        ) from error


def port_conflicts(topology: Topology) -> list[str]:
    """Two services that want one port on one host, as readable problems."""
    problems = []
    for host in topology.hosts:
        holders: dict[int, list[str]] = {}
        for service in topology.services_on(host):
            if not service.has_port:
                continue
            holders.setdefault(service.port, []).append(service.name)
        problems += [
            f"port {port} on {host} is claimed by {' and '.join(sorted(names))}: "
            "give each service of a host its own port"
            for port, names in sorted(holders.items())
            if len(names) > 1
        ]
    return problems


def _unique(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))
