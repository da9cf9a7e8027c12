# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What verify asks on each host, by the groups that the host is in. Pure.

`here` is what the catalog says of the host (`verify_catalog.of_host`), `declared` what options,
facts and definitions say (`__verify_host` in the role's vars), and `site` is both.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.balancer.pages import USER
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import part
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.grafana_sign_on import (
    LOGIN_PATH,
)

RESEND_SECONDS = 60
REACHES_DATABASE = "litellm reaches its database"
# What people know by a name of their own, in the order in which the portal shows it.
ADDRESS, MODELS, TOOLS, SIGN_IN = SERVICES = ("address", "models", "tools", "sign_in")
# Of which of them a service's own word is a part.
_PARTS = {"litellm": MODELS, "gateway": TOOLS}


def for_people(made: dict[str, Any], name: str, kind: str = "service") -> dict[str, Any]:
    """Return a probe with what people know that it is about."""
    return {**made, "part": part(kind, name)}


def probe(check: str, kind: str, group: str, /, **options: Any) -> dict[str, Any]:
    """Return a probe as the module `health` takes it."""
    return {"name": check, "kind": kind, "group": group, "options": options}


def probes(here: dict, declared: dict) -> list[dict]:
    """Return what is asked on a host."""
    site = {**here, **declared}
    of_groups = [make for group, make in OF_GROUPS.items() if group in site["groups"]]
    of_clusters = [
        make
        for group, make in OF_CLUSTERS.items()
        if group in site["groups"] and group in site["clusters"]
    ]
    makers = (_any_host, _health, *of_groups, *of_clusters)
    return [row for make in makers for row in make(site)]


def cluster_probes(
    declared: dict, external: list[dict], ready: str = "", checks: str = ""
) -> list[dict]:
    """Return what is asked of a Kubernetes cluster: one probe of everything that is in it.

    declared: how it is reached, and what it should have, as the role kubernetes puts it together.
    external: servers elsewhere, which the control node asks. ready: where LiteLLM says whether it
    can work, and checks: where the portal says whether people can sign in, while ports lead there.
    """
    options = {"url": ready, "service": "LiteLLM in the cluster", "contains": "connected"}
    database = probe(REACHES_DATABASE, "http", "Services", **options)
    return [
        probe("cluster", "cluster", "Hosts", **declared),
        *external_probes(external, is_client=False),
        *([for_people(database, MODELS)] if ready else []),
        *(_sign_on({"url": checks, "service": "the portal in the cluster"}) if checks else []),
    ]


def external_probes(servers: list[dict], is_client: bool = True) -> list[dict]:
    """Return what is asked of servers elsewhere, by a host that is one of their clients or none.

    Other sites are among them (`people.sites.asked`).
    """
    return [_external_probe(server, is_client) for server in servers]


def _external_probe(server: dict, is_client: bool) -> dict:
    options = {"is_client": is_client, **server}
    if server["service"] == "site":
        options = {name: server[name] for name in ("site", "url", "key", "models")}
        return probe(f"site {server['site']}", "site", "Models", **options)
    return probe(f"external {server['service']}", "external", "Data", **options)


def _any_host(site: dict) -> list[dict]:
    host, prefix, flows = site["host"], site["prefix"], site["flows"]
    defined = [spec for specs in site["definitions"].values() for spec in specs.values()]
    files = {path: digest for spec in defined for path, digest in spec["files"].items()}
    isolated = {name: flows[name] for name in ("managed", "contacts", "neighbours")}
    return [
        probe(host, "containers", "Hosts", prefix=prefix, defined=defined, files=files),
        probe(f"disk {host}", "disk", "Hosts", **site["disk"]),
        probe(f"clock {host}", "clock", "Hosts", **site["clock"]),
        *(
            probe(f"ports {who} reach {host}", "ports", "Hosts", seen_by=who, **_ports(site))
            for who in ("users", "other_networks")
        ),
        probe(
            f"reach from a container of {host}:",
            "isolation",
            "Intruders",
            prefix=prefix,
            **isolated,
        ),
        probe(f"reach from {host}", "matrix", "Network", neighbours=flows["neighbours"]),
    ]


def _ports(site: dict) -> dict[str, Any]:
    flows = site["flows"]
    return {
        "prefix": site["prefix"],
        "managed": flows["managed"],
        "flows": flows["allow"],
        "address": next(iter(_own_addresses(site)), ""),
    }


def _own_addresses(declared: dict) -> list[str]:
    """What platform_address says: none, one, or several."""
    said = declared["address"]
    return ([said] if said else []) if isinstance(said, str) else list(said)


def _health(site: dict) -> list[dict]:
    """Ask each service that tells whether it is alive."""
    found = {
        name: probe(
            f"{name} is alive", "http", "Services", url=url, service=f"{site['prefix']}{name}"
        )
        for name, url in site["health"].items()
    }
    return [
        for_people(made, _PARTS[name]) if name in _PARTS else made for name, made in found.items()
    ]


def _local(site: dict, service: str, path: str = "") -> dict[str, str]:
    """Options of an HTTP probe of a service of this host."""
    url = f"http://127.0.0.1:{site['ports'][service]}{path}"
    return {"url": url, "service": f"{site['prefix']}{service}"}


def _ollama(site: dict) -> list[dict]:
    if not site["gpu"]:
        return []
    model = next((m for m in site["models"] if m.get("state", "present") == "present"), {})
    options = {
        "url": _local(site, "ollama")["url"],
        "timeout": site["timeout"],
        "model": model.get("name", ""),
        "embeds_only": model.get("embedding", False),
        "context": model.get("context", 0),
    }
    return [probe(f"GPU {site['host']}", "gpu", "Models", **options)]


def _litellm(site: dict) -> list[dict]:
    ready = {**_local(site, "litellm", site["ready"]["litellm"]), "contains": "connected"}
    return [
        for_people(probe(REACHES_DATABASE, "http", "Services", **ready), MODELS),
        probe("migrations", "migrations", "Data", container=f"{site['prefix']}litellm"),
        *external_probes(site["external"]),
    ]


def _gateway(site: dict) -> list[dict]:
    name = "gateway tells about itself"
    return [for_people(probe(name, "http", "Services", **_local(site, "gateway", "/")), TOOLS)]


def _portal(site: dict) -> list[dict]:
    """Whether people can sign in: the provider, LiteLLM, the gateway and the store of sessions."""
    return _sign_on(_local(site, "portal", "/checks"))


def _sign_on(options: dict[str, str]) -> list[dict]:
    return [for_people(probe("people can sign in", "sign_on", "Services", **options), SIGN_IN)]


def _postgres(site: dict) -> list[dict]:
    container = f"{site['prefix']}postgres"
    return [probe("database", "postgres", "Data", container=container, **site["database"])]


def _redis(site: dict) -> list[dict]:
    options = {"container": f"{site['prefix']}redis", "port": site["inside"]["redis"]}
    return [probe("redis answers", "redis", "Data", **options)]


def _monitoring(site: dict) -> list[dict]:
    options = {
        name: f"http://127.0.0.1:{site['ports'][name]}" for name in ("prometheus", "alertmanager")
    }
    # Every service was asked once by then, and every rule evaluated. Prometheus sends an alert for
    # which it knew no Alertmanager, as in its first seconds, again after a minute.
    patience = {"wait_seconds": 3 * site["interval_seconds"] + RESEND_SECONDS}
    common = {"jobs": site["jobs"], "prefix": site["prefix"]}
    return [
        probe("monitoring", "monitoring", "Services", **options, **common, **patience),
        *([probe("logs", "logs", "Services", **site["logs"])] if site["logs"] else []),
        *(_page(site, page) for page in site["pages"]),
    ]


def _grafana(site: dict) -> list[dict]:
    """Whether Grafana leads people to the provider, where they sign in there."""
    if not site["grafana_sign_in"]:
        return []
    options = {"status": 302, "location": site["grafana_sign_in"].partition("?")[0]}
    name = "Grafana leads people to the provider"
    return [probe(name, "http", "Services", **_local(site, "grafana", LOGIN_PATH), **options)]


def _page(site: dict, page: dict) -> dict:
    """Whether a page that the balancer serves to operators is closed to everybody else."""
    url, common = page["url"].rstrip("/"), {"ca": site["ca"]}
    common["service"] = f"{site['prefix']}load_balancer"
    if page["has_login"]:
        name = f"numbers of {page['service']} are not on its page"
        options = {"url": url + page["hidden"][0], "status": 404}
        return probe(name, "http", "Intruders", **options, **common)
    options = {"url": url + page["health"], "user": USER, "key": "pages"}
    return probe(f"page of {page['service']}", "page", "Intruders", **options, **common)


def _postgres_cluster(site: dict) -> list[dict]:
    host, prefix, members = site["host"], site["prefix"], site["members"]["postgres"]
    options = {
        "url": f"http://127.0.0.1:{site['ports']['patroni']}",
        "name": host,
        "members": members,
        "container": f"{prefix}postgres",
    }
    etcd = {"container": f"{prefix}etcd", "members": len(members)}
    return [
        probe(f"database cluster {host}", "postgres_cluster", "Data", **options),
        probe(f"etcd {host}", "etcd", "Data", **etcd),
    ]


def _redis_cluster(site: dict) -> list[dict]:
    options = {
        "container": f"{site['prefix']}redis",
        "port": site["inside"]["redis"],
        "sentinel": f"{site['prefix']}redis_sentinel",
        "sentinel_port": site["inside"]["redis_sentinel"],
        "members": len(site["members"]["redis"]),
    }
    return [probe(f"redis cluster {site['host']}", "redis_cluster", "Data", **options)]


OF_GROUPS = {
    "ollama": _ollama,
    "litellm": _litellm,
    "gateway": _gateway,
    "portal": _portal,
    "postgres": _postgres,
    "redis": _redis,
    "monitoring": _monitoring,
    "grafana": _grafana,
}
# Only where the group has several hosts.
OF_CLUSTERS = {"postgres": _postgres_cluster, "redis": _redis_cluster}


def from_control_node(here: dict, declared: dict) -> list[dict]:
    """Return a probe of what is closed to the control node, which connects to the host itself."""
    told = (declared["ansible_host"], declared["default_address"])
    options = {
        "address": next(filter(is_address, [*_own_addresses(declared), *told]), here["host"]),
        "managed": here["flows"]["managed"],
        "flows": here["flows"]["allow"],
    }
    name = f"ports closed to the control node {here['host']}"
    return [probe(name, "intruder_ports", "Intruders", **options)]


def is_address(text: str) -> bool:
    """Whether this is an IP address and no name."""
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False
