# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Replicas are one service: same secrets, one database, shared limits, sessions that move."""

from __future__ import annotations

import json
from secrets import token_hex

import pytest
from hosts import APP1, APP2, DATA, LB, addresses, on, wait_until
from mcp_messages import INITIALIZE, INITIALIZED

# It reads the files of the other containers' logs.
AS_ROOT = {"log_shipper"}
MONITORING = {"prometheus", "alertmanager", "log_collector"}
MONITORING |= {f"{name}_exporter" for name in ("postgres", "redis", "ollama", "blackbox")}
SERVICES = {
    "molecule-std-lb1": {"load_balancer"},
    APP1: {"gateway", "litellm"},
    APP2: {"gateway", "litellm", "ollama"},
    DATA: {"postgres", "redis", "ollama", "tool-filesystem", "tool-example"} | MONITORING,
}
for _services in SERVICES.values():
    _services.update({"node_exporter", "log_shipper"})


@pytest.fixture(scope="module")
def containers():
    """Return what each host's engine says of its containers: host -> service -> facts."""
    found = {}
    for host in SERVICES:
        names = on(host, "docker ps --all --quiet --filter label=intranet.mcp.owner").split()
        facts = json.loads(on(host, f"docker inspect {' '.join(names)}"))
        found[host] = {c["Config"]["Labels"]["intranet.mcp.service"]: c for c in facts}
    return found


def test_every_host_runs_what_its_groups_say(containers):
    assert {host: set(services) for host, services in containers.items()} == SERVICES


def test_all_are_healthy_and_confined(containers):
    for services in containers.values():
        for name, facts in services.items():
            assert facts["State"]["Health"]["Status"] == "healthy", name
            assert facts["HostConfig"]["ReadonlyRootfs"], name
            assert facts["HostConfig"]["CapDrop"] == ["ALL"], name
            is_root = facts["Config"]["User"].split(":")[0] in ("", "0")
            assert is_root == (name in AS_ROOT), name


@pytest.mark.parametrize(
    ("service", "secret"),
    [
        ("litellm", "env/LITELLM_SALT_KEY"),
        ("litellm", "env/DATABASE_URL"),
        ("gateway", "session_key"),
    ],
)
def test_replicas_have_the_same_secret(service, secret):
    command = f"sha256sum < /etc/intranet-mcp/services/{service}/secrets/{secret}"
    assert on(APP1, command) == on(APP2, command)


def sql(query):
    """Ask LiteLLM's database."""
    password = "export PGPASSWORD=$(cat /etc/intranet-mcp/services/postgres/secrets/password)"
    psql = "docker exec -e PGPASSWORD intranet-postgres psql -h 127.0.0.1 -U litellm -d litellm"
    return on(DATA, f'{password}; {psql} -Atc "{query}"').split("|")


def test_every_migration_was_applied_once():
    query = "select count(*), count(distinct migration_name) from _prisma_migrations"
    total, distinct = map(int, sql(query))
    assert total == distinct
    assert total > 0


def test_the_connections_of_all_replicas_fit_into_the_database():
    replicas, used, allowed = sql(
        "select count(distinct client_addr), count(*), current_setting('max_connections') "
        "from pg_stat_activity where usename = 'litellm' and client_addr <> '127.0.0.1'"
    )
    assert int(replicas) == 2
    assert int(used) < int(allowed)


@pytest.mark.parametrize("host", [APP1, APP2])
def test_litellm_balances_over_every_ollama(host):
    config = on(host, "cat /etc/intranet-mcp/services/litellm/config/config.yaml")
    assert config.count("api_base: http://10.77.61.31:11434") == 1
    assert config.count(":11434") == 2


@pytest.mark.parametrize("host", [APP1, APP2])
def test_gateways_know_their_own_address_and_share_redis(host):
    config = on(host, "cat /etc/intranet-mcp/services/gateway/config/gateway.yml")
    assert "peer_url: http://10.77.61.2" in config
    assert "redis_url_file: /secrets/redis_url" in config


def test_a_revoked_key_is_refused_at_the_replica_that_did_not_revoke_it(secrets):
    """Replicas remember keys for an hour; Redis tells them what to drop.

    In the order of the module litellm_key: a key that is only deleted is not told of.
    """
    master = secrets["litellm_master_key"]
    key = f"sk-{token_hex(16)}"
    assert _ask(APP1, "/key/generate", master, {"duration": "5m", "key": key}) == 200
    assert [_models_at(host, key) for host in (APP1, APP2)] == [200, 200]
    assert _ask(APP1, "/key/block", master, {"key": key}) == 200
    assert _ask(APP1, "/key/delete", master, {"keys": [key]}) == 200
    wait_until(lambda: _models_at(APP1, key) == 401, 5, "the revoking replica to refuse it")
    wait_until(lambda: _models_at(APP2, key) == 401, 5, "the other replica to refuse it")


def _models_at(host, key):
    return _ask(host, "/v1/models", key)


def _ask(host, path, key, body=None):
    """Ask one LiteLLM from the balancer's host and return the status; the key goes by stdin."""
    program = (
        "import json, sys, urllib.request as r, urllib.error as e; "
        "url, key, body = json.load(sys.stdin); "
        "headers = {'Authorization': 'Bearer ' + key, 'Content-Type': 'application/json'}; "
        "request = r.Request(url, json.dumps(body).encode() if body else None, headers)\n"
        "try: print(r.urlopen(request, timeout=30).status)\n"
        "except e.HTTPError as error: print(error.code)"
    )
    question = json.dumps([f"http://{addresses()[host]}:4000{path}", key, body])
    return int(on(LB, f'python3 -c "{program}"', stdin=question))


def test_a_session_goes_on_at_every_replica(client):
    """Sessions are sealed with a shared key; ten requests meet both gateways."""
    opened = client.send("/mcp", INITIALIZE)
    session = {
        "Mcp_Session_Id": opened.headers["Mcp-Session-Id"],
        "MCP_Protocol_Version": "2025-06-18",
    }
    client.send("/mcp", INITIALIZED, **session)
    before = [_calls(host) for host in (APP1, APP2)]
    for number in range(2, 12):
        request = {"jsonrpc": "2.0", "id": number, "method": "tools/list"}
        assert client.send("/mcp", request, **session).body["result"]["tools"]
    for host, old in zip((APP1, APP2), before, strict=True):
        # The audit is written after the answer.
        wait_until(lambda host=host, old=old: _calls(host) > old, 10, f"a request at {host}")


def _calls(host):
    """Return how many requests this gateway's audit has recorded."""
    return int(on(host, "docker logs intranet-gateway 2>/dev/null | grep -c tools/list || true"))
