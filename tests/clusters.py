# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Platforms in a Kubernetes cluster for unit tests: services in short, sites, and their objects."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.topology.cluster import Cluster
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import objects, site
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import Target
from platforms import GROUPS, topology

CLUSTER = "cluster"
ALL_INSIDE = {group: [CLUSTER] for group in GROUPS}
MODELS_OUTSIDE = {**ALL_INSIDE, "ollama": ["gpu1"]}
MODELS_INSIDE = {**{group: ["app1"] for group in GROUPS}, "ollama": [CLUSTER]}
NODES = "198.51.100.0/24"

# What roles say of their services, in short: each key of a definition is somewhere among them.
DEFINITIONS = {
    "postgres": {
        "image": "postgres",
        "user": "999:999",
        "command": ["postgres", "-c", "max_connections=100"],
        "env": {
            "POSTGRES_USER": "litellm",
            "POSTGRES_DB": "litellm",
            "POSTGRES_PASSWORD_FILE": "/secrets/password",
        },
        "secrets": {"password": "not-told"},
        "volumes": {"data": "/var/lib/postgresql/data"},
        "tmpfs": ["/tmp", "/var/run/postgresql:size=16m,mode=0700,uid=999,gid=999"],
        "health": {"command": ["pg_isready", "-h", "127.0.0.1"]},
        "memory_mb": 768,
        "shm_mb": 128,
        "stop_seconds": 60,
    },
    "redis": {
        "image": "redis",
        "user": "999:999",
        "command": ["redis-server", "/secrets/redis.conf"],
        "secrets": {"redis.conf": "requirepass not-told"},
        "volumes": {"data": "/data"},
        "health": {"command": ["redis-cli", "ping"]},
        "memory_mb": 384,
    },
    "ollama": {
        "image": "ollama-cuda",
        "user": "10001:10001",
        "command": ["serve"],
        "volumes": {"models": "/var/lib/ollama"},
        "files": {"load.sh": "true\n", "ready.sh": "true\n", "models": "qwen3:8b\n"},
        "reload": ["models"],
        "prepare": {
            "entrypoint": ["sh", "/config/load.sh"],
            "command": ["qwen3:8b registry.example.internal/library/qwen3:8b -"],
            "memory_mb": 1024,
            "seconds": 7200,
            "bytes": 5_200_000_000,
        },
        "health": {
            "command": ["ollama", "list"],
            "ready_command": ["sh", "/config/ready.sh"],
            "interval_seconds": 10,
            "start_seconds": 20,
        },
        "gpus": True,
        "memory_mb": 8192,
        "pids": 1024,
        "stop_seconds": 30,
    },
    "litellm": {
        "image": "litellm",
        "user": "10001:10001",
        "command": ["sh", "/config/start.sh", "litellm", "--port", 4000],
        "env": {"HOME": "/tmp", "SAID": "$(HOME) as it is"},
        "files": {"start.sh": '#!/bin/sh\nexec "$@"\n', "config.yaml": "model_list: []\n"},
        "secret_env": {"DATABASE_URL": "postgresql://not-told", "LITELLM_MASTER_KEY": "not-told"},
        "prepare": {"command": ["sh", "/config/start.sh", "true"], "seconds": 900},
        "health": {
            "command": ["python3", "-c", "ask"],
            "interval_seconds": 10,
            "start_seconds": 180,
            "retries": 6,
        },
        "memory_mb": 2048,
        "pids": 512,
        "stop_seconds": 60,
    },
    "tool-browser": {
        "image": "tool-browser",
        "user": "10001:10001",
        "command": ["--config", "/config/bridge.yml"],
        "files": {"bridge.yml": "upstreams: {}\n"},
        "binds": ["/srv/workspace:/workspace:ro,z"],
        "health": {"command": ["python3", "-c", "ask"], "start_seconds": 30},
        "read_only": True,
        "memory_mb": 1536,
        "shm_mb": 256,
        "pids": 512,
    },
    "tool-example": {
        "image": "tool-python",
        "user": "10001:10001",
        "entrypoint": ["/bridge/python3"],
        "command": ["-m", "mcp_gateway"],
        "extra_hosts": {"wiki.example.internal": "203.0.113.9"},
        "health": {"command": ["python3", "-c", "ask"]},
        "memory_mb": 512,
    },
    "gateway": {
        "image": "gateway",
        "user": "10001:10001",
        "command": ["--config", "/config/gateway.yml"],
        "files": {"gateway.yml": "listen: {port: 8080}\n"},
        "reload": ["gateway.yml"],
        "secrets": {"session_key": "not-told", "monitoring_key": "not-told"},
        "volumes": {"audit": "/audit"},
        "health": {"command": ["python3", "-c", "ask"], "start_seconds": 30},
        "memory_mb": 384,
        "pids": 128,
        "stop_seconds": 30,
    },
}
OWNERS = {"tool-browser": "tool_server", "tool-example": "tool_server"}

SITE = {
    "namespace": "llm",
    "replicas": {"gateway": 2, "litellm": 2},
    "autoscaling": {
        "gateway": {
            "max": 6,
            "cpu_percent": 70,
            "metrics": [{"name": "mcp_gateway_in_flight", "average": 40}],
        }
    },
    "cpu": {"litellm": "500m"},
    "volumes": {
        "postgres": {"data": {"size": "20Gi", "storage_class": "fast"}},
        "redis": {"data": {"claim": "redis-data"}},
        "ollama": {"models": {"size": "100Gi"}},
        "gateway": {"audit": {"scratch": "2Gi"}},
    },
    "directories": {"/srv/workspace": {"claim": "workspace"}},
    "gpu": {"resource": "nvidia.com/gpu", "count": 1},
    "dns": {"namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
    "networks": {"pods": ["10.244.0.0/16"], "services": ["10.96.0.0/12"], "nodes": [NODES]},
    "ingress": {"kind": "ingress", "class": "traefik", "namespace": "traefik"},
    "metrics": {"kind": "service_monitor", "namespace": "monitoring"},
}
# What a site says of an operator of PostgreSQL.
OPERATOR = {
    "operator": "cloudnative_pg",
    "image": "registry.example.internal/postgresql:17",
    "namespace": "cnpg-system",
}
ENTRY = {
    "public_name": "llm.example.internal",
    "tls": True,
    "paths": [],
    "operators": [],
    "timeout_seconds": 600,
    "certificate": "",
    "key": "",
}
ALERTS = {
    "error_percent": 5,
    "p95_seconds": 30,
    "litellm_p95_seconds": 2,
    "first_token_seconds": 60,
    "requests_in_flight": 32,
    "budget_percent": 10,
    "litellm_memory_mb": 2048,
}
METRICS_SECRETS = {"gateway_monitoring_key": "not-told", "key-prometheus": "not-told"}
TRUST = {"ca.pem": b"public and site\n", "site.pem": b"site\n", "ca.jks": b"\xfe\xed"}


def platform(groups=ALL_INSIDE, **settings):
    """Return a platform with a cluster; settings are further fields of Topology."""
    return topology(groups, clusters={CLUSTER: Cluster((NODES,))}, **settings)


def target(groups=ALL_INSIDE, said=None, of_topology=None, **settings):
    """Return a target; said: variables of the site in place of SITE's, others are of Target."""
    found = platform(groups, **(of_topology or {}))
    read = site.read({**SITE, **(said or {})}, list(found.services))
    given = {"metrics_secrets": METRICS_SECRETS, "alerts": ALERTS, **settings}
    return Target(topology=found, host=CLUSTER, site=read, **given)


def definition(name, **changes):
    """Return a service's definition with changes; a value of None takes a key away."""
    changed = {"name": name, **DEFINITIONS[name], **changes}
    return {key: value for key, value in changed.items() if value is not None}


def rendered(name, to, **changes):
    """Return the objects of one service, by kind; several of a kind are a list in their order."""
    found = objects.of_owner([definition(name, **changes)], OWNERS.get(name, name), to)
    return by_kind(found)


def everything(to):
    """Return every object of a target's cluster."""
    found = objects.of_platform(to, ENTRY)
    for service in to.services:
        owner = OWNERS.get(service.name, service.name)
        found += objects.of_owner([definition(service.name)], owner, to)
    return found


def by_kind(found):
    """Return objects by kind."""
    result: dict = {}
    for one in found:
        result.setdefault(one["kind"], []).append(one)
    return {kind: group[0] if len(group) == 1 else group for kind, group in result.items()}


def pods(found):
    """Return each pod template among objects, with what makes it."""
    return [(one, one["spec"]["template"]) for one in found if "template" in one.get("spec", {})]
