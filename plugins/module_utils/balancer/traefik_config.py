# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Traefik's two files as text, from the pools the topology names: the same entry points and routes
as HAProxy's. Pure.

Both are JSON, which is YAML too, so that hosts without a YAML library can change the second one:
a drained replica is one that its service does not list.

Each replica is a service of its own (`litellm.app1`), which gives it a name, its own check and its
own metrics. A service lists them twice, by readiness and by being alive, and falls back to those
alive where none is ready.
"""

from __future__ import annotations

import json

from ansible_collections.intranet.mcp.plugins.module_utils.balancer.entry_paths import (
    GATEWAY_PATHS,
    HEALTH_PATHS,
    HIDDEN_PATH,
    REFUSED_PATH,
    model_paths,
    operator_networks,
    portal_paths,
)
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.pools import (
    ALIVE,
    CERTIFICATE,
    HEAD,
    pools_by_service,
    server_name,
)
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.traefik_pages import (
    configuration as pages_configuration,
)
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.traefik_parts import (
    below,
    router,
)

STATIC, DYNAMIC = "traefik.yml", "dynamic.yml"
SERVED = "/run/traefik/" + DYNAMIC
READY = "_ready"
# Which of the files that were served it is; told on the metrics port.
GENERATION = "X-Generation"

# Replicas take turns, so that one that refuses is hardly ever picked so many times in a row. Where
# a byte was sent nothing is tried again: calls of tools must not happen twice.
ATTEMPTS, ATTEMPTS_SECONDS = 20, 10
KEPT_ALIVE_SECONDS = 60
# A list of addresses must not be empty.
NOBODY = ["255.255.255.255/32"]
# What the log holds of a request. Not its path: with it comes the query, where some clients put
# their key.
LOGGED = (
    "StartUTC",
    "ClientHost",
    "RequestMethod",
    "RouterName",
    "ServiceName",
    "DownstreamStatus",
    "DownstreamContentSize",
    "OriginDuration",
    "Duration",
    "RetryAttempts",
)
CIPHERS = [
    f"TLS_ECDHE_{key}_WITH_{cipher}"
    for key in ("ECDSA", "RSA")
    for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
]


def render(pools: list[dict], settings: dict) -> dict[str, str]:
    """The files by name. Pools and settings are those of HAProxy, and stop_seconds."""
    by_service = pools_by_service(pools)
    return {STATIC: text(_static(settings)), DYNAMIC: text(_dynamic(by_service, settings))}


def text(configuration: dict) -> str:
    return HEAD + json.dumps(configuration, indent=2) + "\n"


def parse(content: str) -> dict:
    return json.loads(content.removeprefix(HEAD))


def served(dynamic: dict, drained: dict[str, list[str]], generation: str) -> dict:
    """The file that is served while these replicas are drained.

    Where that leaves none, those that are alive are better than none.
    """
    services = dict(dynamic["http"]["services"])
    for name in drained:
        kept = [s for s in replicas_of(dynamic, name) if s not in drained[name]]
        services[name + READY] = _listed(name, kept)
        if not kept:
            services[name] = _falling_back(name + ALIVE, name + ALIVE)
            del services[name + READY]
    http = {**dynamic["http"], "services": services}
    http["middlewares"] = {**http["middlewares"], "generation": _generation(generation)}
    return {**dynamic, "http": http}


def replicas_of(dynamic: dict, service: str) -> dict[str, dict]:
    """A service's replicas by name, with url and ready (the path that is checked)."""
    services = dynamic["http"]["services"]
    if service + READY not in services:
        return {}
    found = {}
    for entry in services[service + READY]["weighted"]["services"]:
        replica = services[entry["name"]]["loadBalancer"]
        name = entry["name"].removeprefix(f"{service}.")
        found[name] = {"url": replica["servers"][0]["url"], "ready": replica["healthCheck"]["path"]}
    return found


def _static(settings: dict) -> dict:
    wait = f"{settings['timeout_seconds']}s"
    ports = {name: port for name, port in settings["ports"].items() if port}
    if not settings["tls"]:
        ports.pop("redirect", None)
    timeouts = {
        "lifeCycle": {"graceTimeOut": f"{max(1, settings['stop_seconds'] - 2)}s"},
        # A request may take as long to arrive as its answer may be silent; the answer itself may
        # last as long as it likes.
        "respondingTimeouts": {
            "readTimeout": wait,
            "writeTimeout": "0s",
            "idleTimeout": f"{KEPT_ALIVE_SECONDS}s",
        },
    }
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {
            name: {
                "address": f":{port}",
                "transport": timeouts,
                **({"observability": {"accessLogs": False}} if name == "metrics" else {}),
                # Clients have headers like session_id.
                "http": {"aliasHeadersStrategy": "keep"},
            }
            for name, port in sorted(ports.items())
        },
        "providers": {"providersThrottleDuration": "100ms", "file": {"filename": SERVED}},
        "log": {"level": "INFO", "noColor": True},
        "accessLog": {
            "format": "json",
            "fields": {
                "defaultMode": "drop",
                "names": dict.fromkeys(LOGGED, "keep"),
                "headers": {"defaultMode": "drop"},
            },
        },
        "metrics": {"prometheus": {"manualRouting": True}},
        "ping": {"manualRouting": True},
    }


def _dynamic(by_service: dict[str, dict], settings: dict) -> dict:
    pages = pages_configuration(settings, [*_hsts(settings)])
    services = {**pages["services"]}
    for name, pool in sorted(by_service.items()):
        services.update(_services(name, pool, settings))
    routers = {
        **_public(by_service, settings),
        **_routers("inside", by_service, settings),
        **pages["routers"],
        "alive": _internal("alive", "ping@internal", ["generation"]),
        "metrics": _internal("metrics", "prometheus@internal"),
    }
    middlewares = {
        "again": {"retry": {"attempts": ATTEMPTS, "timeout": f"{ATTEMPTS_SECONDS}s"}},
        "generation": _generation("0"),
        "operators": {"ipAllowList": {"sourceRange": operator_networks(settings) or NOBODY}},
        "not_normal": {"ipAllowList": {"sourceRange": NOBODY, "rejectStatusCode": 400}},
        "hidden": {"ipAllowList": {"sourceRange": NOBODY, "rejectStatusCode": 404}},
        **_hsts(settings),
        **_health(by_service, settings),
        **pages["middlewares"],
    }
    if settings["tls"]:
        routers["redirect"] = router("redirect", "PathPrefix(`/`)", "noop@internal", ["to_tls"], 1)
        middlewares["to_tls"] = _to_tls(settings["public_port"])
    return {
        "http": {
            "routers": routers,
            "middlewares": middlewares,
            "services": services,
            "serversTransports": {"replicas": _transport(settings)},
        },
        **({"tls": _tls()} if settings["tls"] else {}),
    }


def _services(name: str, pool: dict, settings: dict) -> dict:
    names = [server_name(server["name"]) for server in pool["servers"]]
    return {
        name: _falling_back(name + READY, name + ALIVE),
        name + READY: _listed(name, names),
        name + ALIVE: _listed(name + ALIVE, names),
        **{
            f"{prefix}.{server_name(server['name'])}": _replica(server, pool[path], settings)
            for prefix, path in ((name, "ready"), (name + ALIVE, "alive"))
            for server in pool["servers"]
        },
    }


def _falling_back(first: str, then: str) -> dict:
    return {"failover": {"service": first, "fallback": then}}


def _listed(prefix: str, names: list[str]) -> dict:
    listed = [{"name": f"{prefix}.{name}"} for name in names]
    return {"weighted": {"services": listed, "healthCheck": {}}}


def _replica(server: dict, path: str, settings: dict) -> dict:
    return {
        "loadBalancer": {
            "servers": [{"url": f"http://{server['address']}"}],
            "serversTransport": "replicas",
            "healthCheck": {
                "path": path,
                "hostname": "balancer",
                "status": 200,
                "followRedirects": False,
                "interval": f"{settings['check_seconds']}s",
                "timeout": f"{settings['connect_seconds'] + settings['check_seconds']}s",
            },
        }
    }


def _transport(settings: dict) -> dict:
    return {
        # One connection a request: on a kept one a call could be sent while the replica closes it,
        # and may not be repeated. What is under way at a replica can then be counted.
        "maxIdleConnsPerHost": -1,
        "forwardingTimeouts": {
            "dialTimeout": f"{settings['connect_seconds']}s",
            "responseHeaderTimeout": f"{settings['timeout_seconds']}s",
        },
    }


def _public(by_service: dict, settings: dict) -> dict:
    """What people ask for: as inside, behind a list of what is open to them."""
    routers = _routers("public", by_service, settings)
    rest = {**routers["public_litellm"], "middlewares": ["operators", "again"]}
    routers |= {
        "public_litellm": {
            **rest,
            "rule": _models(settings),
            "middlewares": ["again"],
            "priority": 2,
        },
        "public_operators": rest,
        "public_hidden": router("public", below(HIDDEN_PATH), "litellm", ["hidden"], 4),
        "public_not_normal": router(
            "public", f"PathRegexp(`{REFUSED_PATH}`)", "litellm", ["not_normal"], 5
        ),
    }
    if not settings["tls"]:
        return routers
    return {
        name: {**route, "tls": {}, **_with_hsts(route, settings)} for name, route in routers.items()
    }


def _hsts(settings: dict) -> dict:
    seconds = settings.get("hsts_seconds", 0) if settings["tls"] else 0
    return {"hsts": {"headers": {"stsSeconds": seconds}}} if seconds else {}


def _with_hsts(route: dict, settings: dict) -> dict:
    return {"middlewares": [*_hsts(settings), *route["middlewares"]]}


def _models(settings: dict) -> str:
    return " || ".join(map(below, model_paths(settings)))


def _routers(entry: str, by_service: dict, settings: dict) -> dict:
    """One entry point's routes to health, MCP and everything else."""
    last = "gateway" if "gateway" in by_service else "litellm"
    routers = {
        f"{entry}_health": router(
            entry,
            " || ".join(f"Path(`{path}`)" for path in HEALTH_PATHS),
            last,
            ["is_litellm_alive", "alive"],
            3,
        ),
        f"{entry}_litellm": router(entry, "PathPrefix(`/`)", "litellm", ["again"], 1),
    }
    if "gateway" in by_service:
        routers[f"{entry}_gateway"] = router(entry, _paths(GATEWAY_PATHS), "gateway", ["again"], 2)
    if "portal" in by_service:
        paths = _paths(portal_paths(settings))
        routers[f"{entry}_portal"] = router(entry, paths, "portal", ["again"], 2)
    return routers


def _paths(served: tuple) -> str:
    matchers = {"path": "Path", "path_beg": "PathPrefix"}
    return " || ".join(
        f"{matchers[match]}(`{path}`)" for match, paths in served for path in paths.split()
    )


def _internal(path: str, service: str, middlewares: list[str] | None = None) -> dict:
    return router("metrics", f"Path(`/{path}`)", service, middlewares or [], 1)


def _health(by_service: dict, settings: dict) -> dict:
    """Both have a replica that is alive: LiteLLM is asked by the inside entry, then the other."""
    litellm = by_service["litellm"]["alive"]
    last = by_service.get("gateway", by_service["litellm"])["alive"]
    inside = f"http://127.0.0.1:{settings['ports']['inside']}"
    asked = {
        "address": inside + litellm,
        "trustForwardHeader": False,
        "maxResponseBodySize": 65536,
    }
    return {
        "is_litellm_alive": {"forwardAuth": asked},
        "alive": {"replacePath": {"path": last}},
    }


def _generation(generation: str) -> dict:
    return {"headers": {"customResponseHeaders": {GENERATION: generation}}}


def _to_tls(port: int) -> dict:
    # 308 keeps method and body.
    where = {"scheme": "https", "port": str(port)}
    return {"redirectScheme": {**where, "permanent": True, "forcePermanentRedirect": True}}


def _tls() -> dict:
    return {
        "options": {
            "default": {
                "minVersion": "VersionTLS12",
                "cipherSuites": CIPHERS,
                "alpnProtocols": ["h2", "http/1.1"],
                "disableSessionTickets": True,
            }
        },
        "stores": {
            "default": {"defaultCertificate": {"certFile": CERTIFICATE, "keyFile": CERTIFICATE}}
        },
    }
