# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Asks the services themselves, and the proxies in front of them, for the doctor. Reads only."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import os
import ssl
import time
from urllib.parse import urlsplit

from ansible_collections.intranet.mcp.plugins.module_utils.cluster.patroni import Cluster, Patroni
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import Engine
from ansible_collections.intranet.mcp.plugins.module_utils.examine import (
    clusters,
    database,
    migrations,
    redis,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.monitoring import (
    Monitoring,
    Watcher,
)
from ansible_collections.intranet.mcp.plugins.module_utils.litellm import client as _litellm
from ansible_collections.intranet.mcp.plugins.module_utils.ollama.client import TAGS

MIGRATION_WAIT_SECONDS = 1
MASTER_KEY = "services/litellm/secrets/env/LITELLM_MASTER_KEY"
MONITORING_KEY = "services/gateway/secrets/monitoring_key"


def jobs(engine: Engine, containers: dict, wanted: dict) -> dict:
    """What to ask whom; each raises, or returns None, where nobody can be asked."""

    def inside(service):
        container = containers.get(service) or {}
        if container.get("state") != "running":
            raise LookupError(service)
        return container["id"]

    def port(service):
        return wanted["services"][service]["inside_port"]

    return {
        "postgres": lambda: database.read(
            engine, inside("postgres"), wanted["database"]["user"], wanted["database"]["name"]
        ),
        "migrations": lambda: migrations.read(
            engine, inside("litellm"), migrations.command(MIGRATION_WAIT_SECONDS)
        ),
        "redis": lambda: redis.read(engine, inside("redis"), port("redis")),
        "patroni": lambda: patroni(wanted["services"]["postgres"]["parts"]),
        "etcd": lambda: clusters.read_etcd(engine, inside("etcd")),
        "sentinel": lambda: redis.read_sentinel(
            engine, inside("redis_sentinel"), port("redis_sentinel")
        ),
        "ollama": lambda: ollama(containers["ollama"], wanted),
        "litellm": lambda: litellm(wanted["services"]["litellm"]["port"]),
        "aliases": lambda: aliases(wanted),
        "gateway": lambda: gateway(wanted),
        "portal": lambda: fetch("GET", wanted["services"]["portal"]["port"], "/checks")[1],
        "monitoring": lambda: monitoring(wanted["services"]),
    }


def patroni(parts: list[dict]) -> Cluster:
    """What Patroni says of the cluster; raises where there is none."""
    (port,) = [part["port"] for part in parts if part["name"] == "patroni"]
    return Patroni(f"http://127.0.0.1:{port}", "this host", timeout=8).cluster()


def ollama(container: dict, wanted: dict) -> dict:
    port = wanted["services"]["ollama"]["port"]
    tags = fetch("GET", port, TAGS)[1]["models"]
    names = [model["name"] for model in tags]
    found = {"models": names, "own_context": {}}
    found["context"] = int(container["env"].get("OLLAMA_CONTEXT_LENGTH") or 0)
    for name in wanted["models"]:
        if name in names:
            own = own_context(fetch("POST", port, "/api/show", {"model": name})[1])
            found["own_context"].update({name: own} if own else {})
    return found


def loaded_models(wanted: dict) -> list[dict]:
    """The models in Ollama's memory."""
    return fetch("GET", wanted["services"]["ollama"]["port"], "/api/ps")[1]["models"]


def own_context(shown: dict) -> tuple[int, int] | None:
    """A model's num_ctx and the longest context it can do; None where it leaves that to Ollama."""
    lines = [line.split() for line in (shown.get("parameters") or "").splitlines()]
    own = next((int(line[1]) for line in lines if line[:1] == ["num_ctx"]), None)
    known = shown.get("model_info") or {}
    longest = next((v for k, v in known.items() if k.endswith(".context_length")), None)
    return (own, longest or own) if own else None


def litellm(port: int) -> dict:
    status, body = fetch("GET", port, _litellm.READINESS)
    detail = body.get("detail")
    said = body if "db" in body else detail if isinstance(detail, dict) else {}
    return {"status": status, "database": str(said.get("db", "")).lower()}


def aliases(wanted: dict) -> dict[str, list[str]]:
    """What LiteLLM's keys and teams are called, as it tells its administrator."""
    if not wanted["aliases"]:
        return {"key": [], "team": []}
    options = {
        "litellm_url": f"http://127.0.0.1:{wanted['services']['litellm']['port']}",
        "master_key_file": os.path.join(wanted["config_dir"], MASTER_KEY),
        "validate_certs": True,
        "ca_path": None,
        "timeout": 8,
    }
    try:
        client = _litellm.client(options)
        keys, teams = client.keys(), client.teams()
    except ServiceError as error:
        raise OSError(str(error)) from error
    return {
        "key": [key.get("key_alias") for key in keys],
        "team": [team.get("team_alias") for team in teams],
    }


def gateway(wanted: dict) -> dict:
    """What the gateway tells its monitoring of servers and of its configuration."""
    with open(os.path.join(wanted["config_dir"], MONITORING_KEY), encoding="utf-8") as file:
        key = {"Authorization": f"Bearer {file.read().strip()}"}
    body = fetch("GET", wanted["services"]["gateway"]["port"], "/", headers=key)[1]
    return {"servers": body["servers"], "last_reload_error": body["last_reload_error"]}


def monitoring(services: dict) -> Monitoring:
    """What Prometheus and Alertmanager say; raises where Prometheus says nothing."""
    ports = (services[name]["port"] for name in ("prometheus", "alertmanager"))
    return Watcher(*(f"http://127.0.0.1:{port}" for port in ports)).read()


def fetch(
    method: str, port: int, path: str, body: dict | None = None, headers: dict | None = None
) -> tuple[int, dict]:
    """Status and JSON of a service on this host."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=8)
    try:
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, {"Accept": "application/json", **(headers or {})})
        response = connection.getresponse()
        return response.status, json.loads(response.read(4 << 20))
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def proxies(wanted: dict) -> list[dict]:
    """The gateway's event stream through each proxy, beside the same without it.

    The gateway names its endpoint as soon as a stream opens and gives a sign of life every 15 s.
    So a first event that comes late was held back, and a stream that ends was cut.
    """
    if not wanted["proxies"]:
        return []
    port = wanted["services"]["gateway"]["port"]
    patience, hold = wanted["proxy_patience_seconds"], wanted["proxy_seconds"]
    with concurrent.futures.ThreadPoolExecutor(len(wanted["proxies"])) as pool:
        tried = {
            url: pool.submit(stream, url, wanted["key"], patience, hold)
            for url in wanted["proxies"]
        }
        direct = stream(f"http://127.0.0.1:{port}", wanted["key"], patience, 0)
    return [
        {
            **attempt.result(),
            "url": url,
            "service": "gateway",
            "patience_seconds": patience,
            "held_seconds": hold,
            "direct_seconds": direct["first_seconds"],
            "direct_error": direct["error"] or f"HTTP {direct['status']}",
        }
        for url, attempt in tried.items()
    ]


def stream(url: str, key: str, patience: float, hold: float) -> dict:
    """Open an event stream, wait for its first event, then see whether it lasts.

    is_silent: the connection stood and nothing came. ended_seconds: when it ended before its time.
    """
    found = {
        "status": 0,
        "encoding": "",
        "is_silent": False,
        "first_seconds": None,
        "ended_seconds": None,
        "error": "",
    }
    place = urlsplit(url)
    connection = _connection(place, patience)
    began = time.monotonic()
    try:
        connection.connect()
    except OSError as error:
        connection.close()
        return {**found, "error": f"cannot be reached ({error})"}
    sock = connection.sock  # http.client drops it where the connection ends with the answer
    try:
        headers = {
            "Authorization": f"Bearer {key}",
            "Accept": "text/event-stream",
            "Accept-Encoding": "gzip",
        }
        connection.request("GET", f"{place.path.rstrip('/')}/sse", headers=headers)
        response = connection.getresponse()
        found["status"] = response.status
        found["encoding"] = response.headers.get("Content-Encoding", "")
        if response.status == 200 and response.read1(1):
            found["first_seconds"] = time.monotonic() - began
            found["ended_seconds"] = _ended(response, sock, began, hold)
    except TimeoutError:
        found["is_silent"] = True
    except (OSError, http.client.HTTPException) as error:
        found["error"] = f"broke off ({error or type(error).__name__})"
    finally:
        connection.close()
    return found


def _ended(response, sock, began: float, hold: float) -> float | None:
    """When the stream ended; None where it lasted."""
    try:
        while (left := began + hold - time.monotonic()) > 0:
            sock.settimeout(left)
            if not response.read1(4096):
                break
        else:
            return None
    except TimeoutError:
        return None
    except (OSError, http.client.HTTPException):
        pass  # cut off rather than ended: the same to whoever listens
    return time.monotonic() - began


def _connection(place, timeout: float) -> http.client.HTTPConnection:
    if place.scheme == "https":
        # Whether its certificate is good is another check's question.
        secure = ssl._create_unverified_context()  # noqa: S323
        where = place.hostname, place.port
        return http.client.HTTPSConnection(*where, timeout=timeout, context=secure)
    return http.client.HTTPConnection(place.hostname, place.port, timeout=timeout)
