# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Each rule of the doctor: a platform that is well, one fact of it broken, what is then said."""

from __future__ import annotations

import copy
import dataclasses

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import doctor
from ansible_collections.intranet.mcp.plugins.module_utils.examine.certificates import Certificate
from ansible_collections.intranet.mcp.plugins.module_utils.examine.database import Database
from ansible_collections.intranet.mcp.plugins.module_utils.examine.disk import FileSystem
from ansible_collections.intranet.mcp.plugins.module_utils.examine.migrations import Migrations
from ansible_collections.intranet.mcp.plugins.module_utils.examine.monitoring import (
    Monitoring,
    Target,
    Undelivered,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.redis import Server
from ansible_collections.intranet.mcp.plugins.modules.doctor import RULES

NOW = 1_800_000_000.0
SERVICES = {
    "postgres": (5432, [], "postgres", []),
    "redis": (6379, [], "redis", []),
    "ollama": (11434, ["127.0.0.1"], "ollama", []),
    "litellm": (4000, ["0.0.0.0"], "litellm", ["postgres", "redis", "ollama"]),
    "tool-example": (8104, [], "tool_server", []),
    "gateway": (8080, ["0.0.0.0"], "gateway", ["litellm", "redis", "tool-example"]),
    "alertmanager": (9093, ["127.0.0.1"], "prometheus", []),
    "prometheus": (9090, ["127.0.0.1"], "prometheus", ["gateway", "alertmanager"]),
}
WANTED = {
    "services": {
        name: {
            "port": port,
            "inside_port": port,
            "publish": publish,
            "role": role,
            "memory_option": f"{role}_memory_mb",
            "needs": needs,
            "networks": [f"intranet-mcp-{zone}" for zone in (name, *needs)],
        }
        for name, (port, publish, role, needs) in SERVICES.items()
    },
    "socket": "/var/run/docker.sock",
    "container_prefix": "intranet-",
    "firewall_table": "intranet_mcp",
    "disk_reserve_mb": 1024,
    "clock_skew_seconds": 60,
    "memory_percent": 90,
    "certificate_days": 14,
    "models": ["qwen3:8b"],
    "context_length": 16384,
    "contexts": {},
    "database": {"name": "litellm", "user": "litellm", "max_connections": 100},
    "connections": 20,
    "connections_reserve": 10,
    "gpu": False,
    "reached": {"gateway": "open", "litellm": "open"},
    "inventory_error": "",
    "time": NOW,
}


WATCHED = Monitoring(
    targets=(Target("gateway", "gateway", "app1", "intranet-gateway"),),
    rules={"TargetDown": ""},
    alertmanagers=1,
    has_watchdog=True,
    started=NOW - 86400,
    stored=NOW - 15,
)


def unread(error, host="app2", at="10.0.0.7", service="gateway", container=""):
    """What Prometheus says of a service that it cannot ask."""
    return (Target(service, service, host, at, "down", error, container),)


def container(service):
    entry = WANTED["services"][service]
    return {
        "image": f"intranet-mcp/{service}:1",
        "image_id": f"sha256:{service}",
        "state": "running",
        "health": "healthy",
        "exit_code": 0,
        "oom_killed": False,
        "error": "",
        "restarts": 0,
        "networks": entry["networks"],
        "published": [f"{address}:{entry['port']}" for address in entry["publish"]],
        "log_driver": "json-file",
        "log_options": {"max-size": "10m"},
        "memory_used": 100 << 20,
        "memory_limit": 1000 << 20,
        "log": [],
        "resolves": dict.fromkeys(entry["needs"], True),
    }


@pytest.fixture
def wanted():
    return copy.deepcopy(WANTED)


@pytest.fixture
def facts():
    """Return the facts of a platform that is well."""
    return {
        "uid": 0,
        "time": NOW,
        "engine": {"version": "26.1.5", "root": "/var/lib/docker"},
        "engine_log": "",
        "has_dockerd": True,
        "daemon_json": {
            "path": "/etc/docker/daemon.json",
            "error": "",
            "settings": {"log-driver": "json-file", "log-opts": {"max-size": "10m"}},
            "backup": "",
        },
        "containers": {service: container(service) for service in SERVICES},
        "firewall": "loaded",
        "listed": [],
        "listeners": [],
        "images": {f"intranet-mcp/{s}:1": {"Id": f"sha256:{s}"} for s in SERVICES},
        "filesystems": [FileSystem("/", 1, 9000, 90000)],
        "certificates": [Certificate("/c.pem", NOW + 90 * 86400)],
        "names": {"llm.example.internal": True},
        "gpu": None,
        "postgres": Database(max_connections=100, used=12, password_accepted=True),
        "migrations": Migrations(),
        "redis": Server(),
        "ollama": {"models": ["qwen3:8b"], "context": 16384, "own_context": {}},
        "litellm": {"status": 200, "database": "connected"},
        "aliases": {"key": ["alice", "bob", None, None], "team": ["alice"]},
        "gateway": {
            "servers": {"example": {"state": "up", "last_error": ""}},
            "last_reload_error": "",
        },
        "monitoring": WATCHED,
        "log_queues": [],
        "chat_over_generate": [],
        "proxies": [],
    }


PROXY = {
    "url": "http://proxy.example.internal",
    "service": "gateway",
    "patience_seconds": 5,
    "held_seconds": 65,
    "direct_seconds": 0.1,
    "direct_error": "",
    "status": 200,
    "encoding": "",
    "is_silent": False,
    "first_seconds": 0.2,
    "ended_seconds": None,
    "error": "",
}
ON_CPU = {"name": "qwen3:8b", "size": 2}
GPU = {"device": True, "runtimes": ["nvidia"], "cdi": True, "cdi_path": "/etc/cdi",
       "visible": True, "said": "", "models": [{**ON_CPU, "size_vram": 1}]}  # fmt: skip


def put(target, path, value):
    """Set a nested value: put(facts, "containers.redis.state", "exited")."""
    *parents, last = path.split(".")
    for name in parents[:-1]:
        target = target[name]
    holder = target[parents[-1]] if parents else target
    if dataclasses.is_dataclass(holder):
        target[parents[-1]] = dataclasses.replace(holder, **{last: value})
    else:
        holder[last] = value


def diagnose(facts, wanted):
    return doctor.diagnose(facts, wanted, RULES)


def test_a_platform_that_is_well_has_no_finding_and_nothing_unseen(facts, wanted):
    assert diagnose(facts, wanted) == {"findings": [], "unseen": []}


# What is broken -> check, fix, service, and words that the finding holds.
CASES = {
    "a stopped container": (
        {"containers.redis.state": "exited", "containers.redis.exit_code": 137},
        ("container", "start", "redis", "intranet-redis is stopped (exit status 137)"),
    ),
    "a container killed for memory": (
        {"containers.litellm.state": "exited", "containers.litellm.oom_killed": True},
        ("container", "start", "litellm", "killed for memory"),
    ),
    "a paused container": (
        {"containers.redis.state": "paused"},
        ("container", "start", "redis", "is paused"),
    ),
    "a container that could not start": (
        {
            "containers.redis.state": "created",
            "containers.redis.error": "bind: address already in use",
        },
        ("container", "start", "redis", "its port is taken"),
    ),
    "a container that starts again and again": (
        {
            "containers.litellm.state": "restarting",
            "containers.litellm.log": ["FATAL: password authentication failed for user", "bye"],
        },
        ("container", "replace", "litellm", "the database refuses its password"),
    ),
    "an unhealthy container with an unknown cause": (
        {
            "containers.redis.health": "unhealthy",
            "containers.redis.log": ["# Server started", "what is this", ""],
        },
        ("container", "restart", "redis", "its log ends: what is this"),
    ),
    "a container that starts again before it is healthy": (
        {
            "containers.litellm.health": "starting",
            "containers.litellm.restarts": 2,
            "containers.litellm.log": ["migration '2025_x y' began at 2026 and has not ended"],
        },
        ("container", "replace", "litellm", "migration 2025_x y is half done"),
    ),
    "a missing container": (
        {"containers.redis": None},
        ("container", "deploy", "redis", "is not there"),
    ),
    "a container off a network": (
        {"containers.ollama.networks": []},
        ("network", "connect", "ollama", "off the network intranet-mcp-ollama (on: none)"),
    ),
    "a container on a network of others": (
        {"containers.ollama.networks": ["bridge", "intranet-mcp-ollama"]},
        ("network", "replace", "ollama", "is on the network bridge"),
    ),
    "a port that is open wider than declared": (
        {"containers.ollama.published": ["0.0.0.0:11434"]},
        ("port", "replace", "ollama", "publishes 0.0.0.0:11434"),
    ),
    "a log that grows": (
        {"containers.redis.log_options": {}},
        ("logs", "replace", "redis", "grows without limit"),
    ),
    "memory near the limit": (
        {"containers.litellm.memory_used": 950 << 20},
        ("memory", "", "litellm", "950 of 1000 MiB"),
    ),
    "a name that does not resolve in a container": (
        {"containers.litellm.resolves": {"postgres": False, "redis": True}},
        ("dns", "restart", "litellm", "cannot resolve intranet-postgres"),
    ),
    "a name that does not resolve on the host": (
        {"names": {"llm.example.internal": False}},
        ("dns", "", "", "llm.example.internal"),
    ),
    "a broken daemon.json with a backup": (
        {
            "daemon_json.error": "daemon.json is not valid JSON",
            "daemon_json.settings": None,
            "daemon_json.backup": "/etc/docker/daemon.json.1~",
        },
        ("daemon.json", "daemon_json", "", "not valid JSON"),
    ),
    "a broken daemon.json without a backup": (
        {"daemon_json.error": "daemon.json is not valid JSON", "daemon_json.settings": None},
        ("daemon.json", "", "", "not valid JSON"),
    ),
    "an overwritten daemon.json": (
        {"daemon_json.settings": {}},
        ("daemon.json", "settings", "", "grow without limit"),
    ),
    "a firewall that is gone": (
        {"firewall": "missing"},
        ("firewall", "firewall", "", "not loaded"),
    ),
    "a firewall that somebody changed": (
        {"firewall": "changed"},
        ("firewall", "firewall", "", "not the one"),
    ),
    "a full disk": (
        {"filesystems": [FileSystem("/d", 1, 3, None)]},
        ("disk", "", "", "3 MiB free at /d"),
    ),
    "a disk without inodes": (
        {"filesystems": [FileSystem("/d", 1, 9000, 9)]},
        ("disk", "", "", "9 inodes free"),
    ),
    "a clock that is off": ({"time": NOW - 300}, ("clock", "", "", "300 s off")),
    "an expired certificate": (
        {"certificates": [Certificate("/c.pem", NOW - 3 * 86400)]},
        ("certificate", "", "", "expired 3 days ago"),
    ),
    "a certificate that expires soon": (
        {"certificates": [Certificate("/c.pem", NOW + 3 * 86400)]},
        ("certificate", "", "", "expires in 3 days"),
    ),
    "a certificate that cannot be read": (
        {"certificates": [Certificate("/c.pem", None, "No such file")]},
        ("certificate", "", "", "No such file"),
    ),
    "a taken port": (
        {"listeners": [{"address": "0.0.0.0", "port": 8080, "holder": "nginx (process 8)"}]},
        ("port", "", "", "port 8080 is held by nginx"),
    ),
    "somebody who is not root": ({"uid": 1000}, ("root", "", "", "user id 1000")),
    "a database full of connections": (
        {"postgres.used": 95, "postgres.holders": [{"who": "psql idle", "count": 80}]},
        ("database", "", "postgres", "95 of 100 database connections are used (80 by psql idle)"),
    ),
    "a database that refuses everybody": (
        {"postgres.error": "sorry, too many clients already", "postgres.password_accepted": None},
        ("database", "", "postgres", "refuses everybody"),
    ),
    "a database with another password": (
        {"postgres.password_accepted": False},
        ("database", "password", "postgres", "does not accept the password"),
    ),
    "LiteLLM with a stale password": (
        {"migrations.error": "FATAL: password authentication failed for user litellm"},
        ("database", "replace", "litellm", "stale"),
    ),
    "LiteLLM that cannot reach its database": (
        {"migrations.error": "did not answer: Connection refused"},
        ("database", "", "litellm", "Connection refused"),
    ),
    "LiteLLM that never reconnected": (
        {"litellm.database": "not connected"},
        ("litellm", "restart", "litellm", "says its database is not connected"),
    ),
    "a half-done migration": (
        {"postgres.half_done": ["2025_x"], "migrations.half_done": ["2025_x"]},
        ("migration", "", "litellm", "migration 2025_x is half done: it began and never ended"),
    ),
    "migrations that LiteLLM did without": (
        {"migrations.pending": ["2025_x", "2025_y"]},
        ("migration", "restart", "litellm", "2 migrations are not applied"),
    ),
    "a service elsewhere that Prometheus cannot reach": (
        {"monitoring.targets": unread("connect: connection refused")},
        ("monitoring", "", "prometheus", "cannot read gateway on app2: connect: connection refus"),
    ),
    "a service that refuses Prometheus's key": (
        {"monitoring.targets": unread("server returned HTTP status 401 Unauthorized")},
        ("monitoring", "replace", "prometheus", "401"),
    ),
    "a service here that runs and turns Prometheus away": (
        {"monitoring.targets": unread("connection refused", "app1", "intranet-gateway")},
        ("monitoring", "restart", "gateway", "cannot read gateway on app1: connection refused"),
    ),
    "a rule that Prometheus does not understand": (
        {"monitoring.rules": {"GatewaySlow": "many-to-many matching"}},
        ("monitoring", "", "prometheus", "GatewaySlow cannot be evaluated: many-to-many"),
    ),
    "an Alertmanager that does not answer": (
        {"monitoring.alertmanager": "Alertmanager at http://127.0.0.1:9093 cannot be reached"},
        ("monitoring", "restart", "alertmanager", "alerts reach nobody"),
    ),
    "an Alertmanager that Prometheus does not know": (
        {"monitoring.alertmanagers": 0},
        ("monitoring", "restart", "alertmanager", "Prometheus knows of none"),
    ),
    "a Prometheus that keeps nothing": (
        {"monitoring.stored": NOW - 240},
        ("monitoring", "", "prometheus", "has kept no measurement for 240 s"),
    ),
    "a Prometheus that keeps nothing for long": (
        {"monitoring.stored": None},
        ("monitoring", "", "prometheus", "has kept no measurement for five minutes"),
    ),
    "a receiver that refuses alerts": (
        {"monitoring.undelivered": (Undelivered("duty", "webhook", "clientError"),)},
        ("monitoring", "", "alertmanager", "receiver duty: its webhook refuses it (4xx)"),
    ),
    "a receiver that is away": (
        {"monitoring.undelivered": (Undelivered("duty", "email", "other"),)},
        ("monitoring", "", "alertmanager", "receiver duty: its email cannot be reached"),
    ),
    "two teams of one alias": (
        {"aliases.team": ["payments", "research", "payments"]},
        ("alias", "", "litellm", "2 teams with the alias payments"),
    ),
    "a key with an empty alias": (
        {"aliases.key": ["", "alice"]},
        ("alias", "", "litellm", "1 key with an empty alias"),
    ),
    "a name that went to another image": (
        {"images": {"intranet-mcp/redis:1": {"Id": "sha256:other"}}},
        ("image", "replace", "redis", "intranet-redis does not run the image"),
    ),
    "chat over ollama/": (
        {"chat_over_generate": ["qwen3:8b"]},
        ("litellm", "replace", "litellm", "drops tool calls"),
    ),
    "a missing model": (
        {"ollama.models": []},
        ("model", "models", "ollama", "lacks qwen3:8b"),
    ),
    "a context that is too small": (
        {"ollama.context": 0},
        ("context", "replace", "ollama", "4096 tokens"),
    ),
    "a model that brings a smaller context": (
        {"ollama.own_context": {"qwen3:8b": (2048, 40960)}},
        ("context", "", "ollama", "num_ctx 2048"),
    ),
    "Redis that refuses the password": (
        {"redis.error": "WRONGPASS invalid username-password pair"},
        ("redis", "", "redis", "WRONGPASS"),
    ),
    "Redis that cannot save": (
        {"redis.has_saved": False},
        ("redis", "", "redis", "refuses writes"),
    ),
    "a dead upstream whose container runs": (
        {"gateway.servers.example": {"state": "down", "last_error": "timed out"}},
        ("upstream", "restart", "tool-example", "server example: timed out"),
    ),
    "a dead upstream elsewhere": (
        {"gateway.servers": {"far": {"state": "down", "last_error": "refused"}}},
        ("upstream", "", "gateway", "server far: refused"),
    ),
    "a configuration that the gateway refuses": (
        {"gateway.last_reload_error": "policy.rules: expected a list"},
        ("gateway", "", "gateway", "policy.rules"),
    ),
    "a proxy that buffers": (
        {"proxies": [{**PROXY, "is_silent": True, "status": 0, "first_seconds": None}]},
        ("proxy", "", "", "buffers event streams: no event in 5 s"),
    ),
    "a proxy that cuts": (
        {"proxies": [{**PROXY, "ended_seconds": 60.02}]},
        ("proxy", "", "", "cuts event streams after 60 s"),
    ),
    "a proxy that compresses": (
        {"proxies": [{**PROXY, "encoding": "gzip"}]},
        ("proxy", "", "", "compresses"),
    ),
    "a proxy whose backend is away": (
        {"proxies": [{**PROXY, "status": 502, "first_seconds": None}]},
        ("proxy", "", "", "answers 502"),
    ),
    "a proxy that is away": (
        {"proxies": [{**PROXY, "status": 0, "first_seconds": None, "error": "refused"}]},
        ("proxy", "", "", "refused"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_broken_fact_is_one_finding(facts, wanted, case):
    broken, (check, fix, service, words) = CASES[case]
    for path, value in broken.items():
        put(facts, path, value)
    (finding,) = diagnose(facts, wanted)["findings"]
    assert (finding["check"], finding["fix"], finding["service"]) == (check, fix, service)
    assert words in finding["found"]
    assert finding["expected"] and finding["action"]
    assert finding["role"] == WANTED["services"].get(service, {}).get("role", "")


def with_portal(facts, wanted, **problems):
    entry = {**wanted["services"]["gateway"], "port": 8090, "role": "portal", "needs": []}
    wanted["services"]["portal"] = entry
    facts["containers"]["portal"] = container("gateway")
    facts["images"]["intranet-mcp/portal:1"] = {"Id": "sha256:gateway"}
    reasons = {part: f"{part} is broken" for part in problems}
    facts["portal"] = {"status": "failed", **reasons, "problems": problems}


@pytest.mark.parametrize("key", ["provider_away", "client_refused", "clocks_differ"])
def test_what_keeps_people_from_signing_in_is_told(facts, wanted, key):
    with_portal(facts, wanted, provider=key)
    (finding,) = [f for f in diagnose(facts, wanted)["findings"] if f["check"] == "sign-on"]
    assert finding["found"] == "people cannot sign in: provider is broken"
    assert (finding["service"], finding["role"], finding["fix"]) == ("portal", "portal", "")
    assert finding["expected"] and finding["action"]


def test_portal_is_not_blamed_for_a_container_that_does_not_run(facts, wanted):
    with_portal(facts, wanted, store="store_away", litellm="litellm_refused")
    put(facts, "containers.redis.state", "exited")
    told = [f["found"] for f in diagnose(facts, wanted)["findings"] if f["check"] == "sign-on"]
    assert told == ["people cannot sign in: litellm is broken"]


def test_portal_that_does_not_answer_is_unseen(facts, wanted):
    with_portal(facts, wanted)
    facts["portal"] = None
    unseen = diagnose(facts, wanted)["unseen"]
    assert [check["check"] for check in unseen] == ["sign-on"]


def found(facts, wanted):
    return [finding["found"] for finding in diagnose(facts, wanted)["findings"]]


def without_engine(facts):
    facts.update(engine=None, engine_log="unable to configure", containers={})
    for service in ("postgres", "migrations", "redis", "ollama", "litellm", "gateway"):
        facts[service] = None


def test_a_dead_engine_is_the_only_finding_and_the_rest_is_unseen(facts, wanted):
    without_engine(facts)
    diagnosis = diagnose(facts, wanted)
    (finding,) = diagnosis["findings"]
    assert finding["fix"] == "engine"
    assert "unable to configure" in finding["found"]
    assert {check["why"] for check in diagnosis["unseen"]} == {"the engine does not answer"}
    assert {"containers", "models", "Redis"} <= {check["check"] for check in diagnosis["unseen"]}


def test_a_host_without_an_engine_is_told_to_deploy(facts, wanted):
    without_engine(facts)
    facts["has_dockerd"] = False
    (finding,) = diagnose(facts, wanted)["findings"]
    assert (finding["fix"], "site.yml" in finding["action"]) == ("", True)


def test_nothing_deployed_is_one_finding(facts, wanted):
    facts["containers"] = {}
    for service in ("postgres", "migrations", "redis", "ollama", "litellm", "gateway"):
        facts[service] = None
    assert found(facts, wanted) == ["nothing of the platform is here (8 containers missing)"]


def test_a_port_behind_a_good_firewall_and_container_is_blocked_elsewhere(facts, wanted):
    wanted["reached"]["gateway"] = "no answer in 3 s"
    (finding,) = diagnose(facts, wanted)["findings"]
    assert "port 8080 of gateway: no answer in 3 s" in finding["found"]
    assert "ufw" in finding["action"]


@pytest.mark.parametrize(
    ("path", "value"), [("firewall", "changed"), ("containers.gateway.state", "exited")]
)
def test_a_closed_port_is_not_told_beside_its_cause(facts, wanted, path, value):
    wanted["reached"]["gateway"] = "no answer in 3 s"
    if path.startswith("containers"):
        facts["containers"]["gateway"]["health"] = "unhealthy"
    put(facts, path, value)
    assert len(found(facts, wanted)) == 1


def test_a_peer_that_is_away_is_no_trouble_of_names(facts, wanted):
    facts["containers"]["redis"]["state"] = "exited"
    for client in ("litellm", "gateway"):
        facts["containers"][client]["resolves"]["redis"] = False
    assert found(facts, wanted) == ["intranet-redis is stopped"]


def test_a_stale_password_of_the_database_is_not_blamed_on_litellm(facts, wanted):
    put(facts, "postgres.password_accepted", False)
    put(facts, "migrations.error", "password authentication failed")
    (finding,) = diagnose(facts, wanted)["findings"]
    assert finding["service"] == "postgres"


def test_nobody_is_blamed_for_a_password_while_the_database_is_unseen(facts, wanted):
    facts["postgres"] = None
    put(facts, "migrations.error", "password authentication failed")
    diagnosis = diagnose(facts, wanted)
    assert not diagnosis["findings"]
    assert "LiteLLM's database" in [check["check"] for check in diagnosis["unseen"]]


def test_a_database_on_another_host_leaves_the_password_to_litellm(facts, wanted):
    del wanted["services"]["postgres"], facts["containers"]["postgres"]
    facts["postgres"] = None
    put(facts, "migrations.error", "password authentication failed")
    (finding,) = diagnose(facts, wanted)["findings"]
    assert (finding["service"], finding["fix"]) == ("litellm", "replace")


def test_a_full_database_is_told_once(facts, wanted):
    put(facts, "postgres.error", "sorry, too many clients already")
    put(facts, "migrations.error", "FATAL: sorry, too many clients already")
    assert len(found(facts, wanted)) == 1


def test_pools_are_compared_with_what_the_server_allows(facts, wanted):
    wanted["connections"] = 91
    assert "pools may take 91 connections" in found(facts, wanted)[0]
    put(facts, "postgres.max_connections", 200)
    assert not found(facts, wanted)


def test_a_model_may_not_bring_less_context_than_it_can_do(facts, wanted):
    facts["ollama"]["own_context"] = {"small": (8192, 8192)}
    assert not found(facts, wanted)


def test_a_context_that_the_inventory_declares_is_a_decision(facts, wanted):
    facts["ollama"]["own_context"] = {"qwen3:8b": (2048, 40960), "small": (2048, 40960)}
    wanted["contexts"] = {"qwen3:8b": 2048}
    assert found(facts, wanted) == [
        "model small brings num_ctx 2048, which wins over Ollama's setting"
    ]


def test_files_on_one_disk_are_told_once(facts, wanted):
    facts["filesystems"] = [FileSystem(path, 1, 3, None) for path in ("/a", "/b")]
    assert found(facts, wanted) == ["3 MiB free at /a"]


def test_services_of_other_hosts_are_not_checked(facts, wanted):
    wanted["services"] = {"redis": wanted["services"]["redis"]}
    facts["containers"] = {"redis": facts["containers"]["redis"]}
    for service in ("postgres", "migrations", "ollama", "litellm", "gateway"):
        facts[service] = None
    assert diagnose(facts, wanted) == {"findings": [], "unseen": []}


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"device": False}, ["no NVIDIA driver"]),
        ({"runtimes": ["runc"]}, ["no runtime nvidia"]),
        ({"cdi": False}, ["no CDI spec"]),
        ({"visible": False, "said": "NVML: Unknown Error"}, ["lost its GPU (NVML: Unknown Error)"]),
        (
            {"models": [{"name": "qwen3:8b", "size": 2}]},
            ["Ollama holds qwen3:8b in the CPU's memory"],
        ),
        ({}, []),
    ],
)
def test_a_gpu_is_checked_where_one_is_declared(facts, wanted, broken, words):
    wanted["gpu"] = True
    facts["gpu"] = {**GPU, **broken}
    texts = found(facts, wanted)
    assert len(texts) == len(words)
    assert all(word in text for word, text in zip(words, texts, strict=True))


def test_what_could_not_be_read_is_unseen_and_not_well(facts, wanted):
    facts.update(firewall=None, redis=None)
    diagnosis = diagnose(facts, wanted)
    assert not diagnosis["findings"]
    assert [check["check"] for check in diagnosis["unseen"]] == ["firewall", "Redis"]


def test_a_catalog_that_cannot_be_read_is_a_finding(facts, wanted):
    wanted.update(services={}, reached={}, inventory_error="service 'x' has port None")
    facts["containers"] = {}
    assert "service 'x' has port None" in found(facts, wanted)[0]


def test_a_port_that_a_gone_container_left_taken_needs_another_engine(facts, wanted):
    holder = {"address": "0.0.0.0", "port": 8080, "holder": "docker-proxy (process 8)"}
    facts["listeners"] = [holder]
    (finding,) = diagnose(facts, wanted)["findings"]
    assert finding["check"] == "port" and "systemctl restart docker" in finding["action"]


def test_a_target_whose_container_is_stopped_is_told_once(facts, wanted):
    facts["containers"]["gateway"]["state"] = "exited"
    put(facts, "monitoring.targets", unread("refused", "app1", "intranet-gateway"))
    assert found(facts, wanted) == ["intranet-gateway is stopped"]


def test_an_exporter_that_does_not_answer_is_told_once(facts, wanted):
    jobs = (Target(job, job, "app2", "10.0.0.7", "down", "refused") for job in ("redis", "r_exp"))
    put(facts, "monitoring.targets", tuple(jobs))
    assert found(facts, wanted) == ["Prometheus cannot read redis, r_exp on app2: refused"]


def test_a_target_elsewhere_is_started_there_or_reached(facts, wanted):
    put(facts, "monitoring.targets", unread("i/o timeout"))
    (finding,) = diagnose(facts, wanted)["findings"]
    assert finding["action"].startswith("on app2, docker start intranet-gateway; if it runs, look")


def test_a_port_of_another_services_container_is_started_with_that_container(facts, wanted):
    put(facts, "monitoring.targets", unread("i/o timeout", service="patroni", container="postgres"))
    (finding,) = diagnose(facts, wanted)["findings"]
    assert finding["action"].startswith("on app2, docker start intranet-postgres; ")


def test_a_prometheus_that_has_just_started_need_not_have_kept_anything(facts, wanted):
    put(facts, "monitoring.stored", None)
    put(facts, "monitoring.started", NOW - 20)
    assert not found(facts, wanted)
