# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The catalog of services (roles/platform) as objects, with no inventory under it yet. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError

# The group that stands in front of the others.
BALANCER = "load_balancer"
# The group that watches the others.
MONITORING = "monitoring"
# No group of the inventory: every host that has a service of another group.
PLATFORM = "platform"
# Protocols without ports: who speaks one is on the host's own network and publishes nothing.
PORTLESS = ("vrrp",)
# What an entry may say; roles/platform/defaults/main/main.yml explains each.
KEYS = (
    "clients",
    "container_port",
    "egress",
    "enabled",
    "exporter",
    "frontend",
    "group",
    "has_login",
    "health",
    "image",
    "members",
    "metrics",
    "metrics_secret",
    "page",
    "part_of",
    "peers",
    "port",
    "proto",
    "ready",
    "role",
    "tag",
    "zone",
)
# The plays of site.yml that deploy what names no others.
SERVICES_TAG = "services"
TAGS = ("data", "litellm", "tool_servers", "gateway", SERVICES_TAG, "load_balancer")
# Services whose paths the balancer knows.
BALANCED = ("litellm", "gateway", "portal")


class TopologyError(ServiceError):
    """The inventory contradicts itself. Some say all there is to say in what was found."""

    reason = "topology"

    def __init__(self, found: str, expected: str = "", action: str = "") -> None:
        super().__init__(found, expected, action)

    def __str__(self) -> str:
        return super().__str__() if self.expected else self.found


@dataclass(frozen=True)
class Service:
    """One entry of the catalog: what others must know of a service."""

    name: str
    group: str
    port: int
    clients: tuple[str, ...] = ()
    container_port: int = 0
    health: str = ""
    ready: str = ""
    peers: bool = False
    part_of: str = ""
    proto: str = "tcp"
    # The balancer's frontend that forwards to the primary, where there are several members.
    frontend: str = ""
    role: str = ""
    # Services of one zone share a network on their host.
    zone: str = ""
    # Where it may connect to outside the platform: see firewall.egress.
    egress: tuple[str, ...] = ()
    # Where it tells Prometheus its numbers, the secret that it asks for, or who tells them for it.
    metrics: str = ""
    metrics_secret: str = ""
    exporter: str = ""
    # Below which path the balancer serves it to operators elsewhere, and whether it asks them for a
    # login itself.
    page: str = ""
    has_login: bool = False

    @property
    def has_port(self) -> bool:
        return self.proto not in PORTLESS

    @property
    def inside_port(self) -> int:
        return self.container_port or self.port

    @property
    def is_behind_balancer(self) -> bool:
        """Whether a balancer stands in front of it, where there is one."""
        return BALANCER in self.clients


def checked(catalog: dict) -> dict:
    """The catalog, once every entry is one that can be read."""
    for name, entry in catalog.items():
        place = f"platform_services.{name}"
        if unknown := sorted(set(entry) - set(KEYS)):
            raise TopologyError(
                f"{place} has the key {unknown[0]!r}",
                f"only {', '.join(KEYS)}",
                "correct its name, or leave it out",
            )
        if not entry.get("group"):
            raise TopologyError(
                f"{place} has no group",
                "the inventory group whose hosts run it",
                "add its key `group`",
            )
        if entry.get("tag", SERVICES_TAG) not in TAGS:
            raise TopologyError(
                f"{place} has the tag {entry['tag']!r}, which no play has",
                f"one of {', '.join(TAGS)}",
                "correct it, or leave it out",
            )
        if BALANCER in entry.get("clients", ()) and name not in BALANCED:
            raise TopologyError(
                f"{place} has {BALANCER} among its clients",
                f"only {', '.join(BALANCED)}, whose paths the balancer knows",
                f"leave {BALANCER} out: its port is open to the other clients",
            )
    return catalog


def role_of(name: str, entry: dict) -> str:
    """The role that runs an entry of the catalog."""
    return entry.get("role") or entry.get("part_of") or name


def build_services(catalog: dict, mcp_servers: dict) -> dict[str, Service]:
    """The catalog as services; MCP servers that run here become services of their own.

    A catalog entry with `members: mcp_servers` stands for one service per MCP server that has a
    port (a container of ours); servers that are only a `url` live elsewhere and have none. An entry
    that is `part_of` another is a further port of that one's container.
    """
    services: dict[str, Service] = {}
    for name, entry in checked(catalog).items():
        if not entry.get("enabled", True):
            continue
        if entry.get("members") == "mcp_servers":
            for server, definition in mcp_servers.items():
                if not definition.get("url"):
                    service = f"tool-{server}"
                    own = {
                        "port": definition.get("port"),
                        "egress": definition.get("egress", ()),
                        "zone": service,  # each is foreign to the others
                    }
                    if definition.get("http_port"):
                        own["container_port"] = definition["http_port"]
                    services[service] = _service(service, {**entry, **own}, part_of=name)
        else:
            services[name] = _service(name, entry)
    return services


def _service(name: str, entry: dict, part_of: str = "") -> Service:
    proto = entry.get("proto", "tcp")
    return Service(
        name=name,
        group=entry["group"],
        port=0 if proto in PORTLESS else _port(name, entry.get("port")),
        clients=tuple(entry.get("clients", ())),
        container_port=int(entry.get("container_port", 0)),
        health=entry.get("health", ""),
        ready=entry.get("ready", ""),
        peers=bool(entry.get("peers", False)),
        part_of=part_of or entry.get("part_of", ""),
        proto=proto,
        frontend=entry.get("frontend", ""),
        role=role_of(part_of or name, entry),
        zone=entry.get("zone", "") or entry["group"],
        egress=tuple(entry.get("egress", ())),
        metrics=entry.get("metrics", ""),
        metrics_secret=entry.get("metrics_secret", ""),
        exporter=entry.get("exporter", ""),
        page=entry.get("page", ""),
        has_login=bool(entry.get("has_login", False)),
    )


def _port(name: str, port: object) -> int:
    try:
        number = int(port)
    except (TypeError, ValueError):
        number = 0
    if not 0 < number < 65536:
        raise TopologyError(f"service {name!r} has port {port!r}; expected a number 1 to 65535")
    return number
