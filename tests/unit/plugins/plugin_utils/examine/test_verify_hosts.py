# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import probes
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import verify_hosts

HERE = {
    "host": "data1",
    "groups": ["postgres", "redis", "ollama"],
    "clusters": [],
    "members": {"postgres": ["data1", "data2", "data3"], "redis": ["data1", "data2", "data3"]},
    "health": {"ollama": "http://127.0.0.1:11434/api/version"},
    "ready": {"litellm": "/health/readiness"},
    "ports": {"ollama": 11434, "litellm": 4000, "gateway": 8080, "portal": 8090, "patroni": 8008}
    | {"prometheus": 9090, "alertmanager": 9093, "grafana": 3000},
    "inside": {"redis": 6380, "redis_sentinel": 26380},
    "jobs": ["redis", "redis ready"],
    "pages": [],
    "flows": {"allow": [], "managed": [22], "contacts": [], "neighbours": []},
}
DECLARED = {
    "prefix": "intranet-",
    "definitions": {
        "first": {"a": {"name": "a", "hash": "1", "image": "a:1", "files": {"/a.conf": "x"}}},
        "second": {"b": {"name": "b", "hash": "2", "image": "b:1", "files": {"/b.conf": "y"}}},
    },
    "interval_seconds": 15,
    "grafana_sign_in": "",
    "ca": "",
    "logs": {},
    "address": ["10.0.0.5"],
    "ansible_host": "",
    "default_address": "",
    "disk": {"paths": ["/"], "free_mb": 1},
    "clock": {"control_time": 1.5, "tolerance_seconds": 60},
    "database": {"user": "u", "database": "d", "pool_sum": 20, "reserve": 10},
    "external": [],
    "gpu": False,
    "models": [{"name": "gone", "state": "absent"}, {"name": "e", "embedding": True}],
    "timeout": 180,
}


def site(**changes):
    """What the catalog says and what is declared, with changes of either."""
    return [
        {key: changes.get(key, value) for key, value in part.items()} for part in (HERE, DECLARED)
    ]


def named(**changes):
    return {probe["name"]: probe for probe in verify_hosts.probes(*site(**changes))}


def test_a_host_is_asked_for_what_its_groups_run():
    everywhere = {*named(groups=[])}
    assert len(everywhere) == 8
    assert {*named()} - everywhere == {"database", "redis answers"}
    assert {*named(groups=["litellm", "gateway"])} - everywhere == {
        "litellm reaches its database",
        "migrations",
        "gateway tells about itself",
    }


def test_a_service_is_asked_where_the_catalog_says_that_it_tells_whether_it_is_alive():
    assert named()["ollama is alive"]["options"] == {
        "url": "http://127.0.0.1:11434/api/version",
        "service": "intranet-ollama",
    }
    assert not [name for name in named(health={}) if "alive" in name]


def test_logs_are_looked_for_where_they_are_collected():
    logs = {"data_dir": "/d", "hosts": ["a"], "line": "verify 1", "siem": "", "prefix": "intranet-"}
    assert named(groups=["monitoring"], logs=logs)["logs"]["options"] == logs
    assert "logs" not in named(groups=["monitoring"])


def test_clusters_are_asked_for_where_there_are_some():
    found = named(clusters=["postgres", "redis"])
    assert found["database cluster data1"]["options"]["members"] == ["data1", "data2", "data3"]
    assert found["etcd data1"]["options"] == {"container": "intranet-etcd", "members": 3}
    assert found["redis cluster data1"]["options"]["sentinel_port"] == 26380
    assert "redis cluster data1" not in named(clusters=["redis"], groups=["postgres"])


def test_the_monitoring_may_take_three_scrapes_and_a_second_alert_until_everything_is_seen():
    options = named(groups=["monitoring"])["monitoring"]["options"]
    assert options["jobs"] == ["redis", "redis ready"]
    assert (options["prometheus"], options["wait_seconds"]) == ("http://127.0.0.1:9090", 105)
    assert "monitoring" not in named()


PAGE = {"service": "prometheus", "url": "https://lb:9443/prometheus/", "has_login": False}
PAGE |= {"health": "/-/healthy", "hidden": ["/metrics", "/-/healthy"]}


def test_pages_are_tried_without_and_with_their_login():
    own = {**PAGE, "service": "grafana", "url": "https://lb:9443/grafana/", "has_login": True}
    found = named(groups=["monitoring"], pages=[PAGE, own], ca="PEM")
    assert found["page of prometheus"]["options"] == {
        "url": "https://lb:9443/prometheus/-/healthy",
        "user": "admin",
        "key": "pages",
        "ca": "PEM",
        "service": "intranet-load_balancer",
    }
    options = found["numbers of grafana are not on its page"]["options"]
    assert (options["url"], options["status"]) == ("https://lb:9443/grafana/metrics", 404)
    assert "page of prometheus" not in named(pages=[PAGE]), "asked from the monitoring's host"


def test_files_of_all_definitions_are_compared():
    options = named()["data1"]["options"]
    assert options["files"] == {"/a.conf": "x", "/b.conf": "y"}
    assert [spec["name"] for spec in options["defined"]] == ["a", "b"]
    assert named(definitions={})["data1"]["options"]["files"] == {}


@pytest.mark.parametrize(
    ("models", "options"),
    [
        (DECLARED["models"], {"model": "e", "embeds_only": True, "context": 0}),
        ([{"name": "m", "context": 8192}], {"model": "m", "embeds_only": False, "context": 8192}),
        ([], {"model": "", "embeds_only": False, "context": 0}),
    ],
)
def test_a_gpu_is_tried_with_the_first_model_and_its_context(models, options):
    found = named(gpu=True, models=models)["GPU data1"]["options"]
    assert {name: found[name] for name in options} == options
    assert "GPU data1" not in named(models=models)


def test_every_probe_is_one_that_the_module_takes():
    groups = [*verify_hosts.OF_GROUPS]
    whole = site(gpu=True, clusters=["postgres", "redis"], pages=[PAGE], groups=groups)
    for probe in verify_hosts.probes(*whole) + verify_hosts.from_control_node(*whole):
        probes.check(probe, {"pages": "secret"})


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({}, "10.0.0.5"),
        ({"address": "10.0.0.6"}, "10.0.0.6"),
        ({"address": ["2001:db8::5"]}, "2001:db8::5"),
        (
            {"address": "", "ansible_host": "db.example", "default_address": "10.0.0.7"},
            "10.0.0.7",
        ),
        ({"address": ""}, "data1"),
    ],
)
def test_the_control_node_connects_to_the_first_address_that_is_known(changes, address):
    (probe,) = verify_hosts.from_control_node(*site(**changes))
    assert probe["options"]["address"] == address


def test_ports_are_tried_at_the_address_that_is_declared():
    for address, tried in (
        ("10.0.0.6", "10.0.0.6"),
        (["10.0.0.5", "fd00::5"], "10.0.0.5"),
        ("", ""),
    ):
        found = named(address=address)["ports users reach data1"]["options"]
        assert found["address"] == tried


def test_a_portal_is_asked_whether_people_can_sign_in():
    asked = named(groups=["portal"])["people can sign in"]
    assert asked["kind"] == "sign_on"
    assert asked["options"]["url"] == "http://127.0.0.1:8090/checks"
    assert "people can sign in" not in named(groups=["gateway"])


def test_grafana_is_asked_where_it_leads_people_who_sign_in_at_the_provider():
    name, provider = "Grafana leads people to the provider", "https://sso.example.internal/auth"
    asked = named(groups=["grafana"], grafana_sign_in=f"{provider}?tenant=a")[name]
    assert asked["options"] == {
        "url": "http://127.0.0.1:3000/login/generic_oauth",
        "service": "intranet-grafana",
        "status": 302,
        "location": provider,
    }
    assert name not in named(groups=["grafana"]), "it has its own login alone"
    assert name not in named(groups=["gateway"], grafana_sign_in=provider)


SERVERS = [{"service": "redis", "host": "r", "port": 6379, "ca": "", "key": "redis"}]


def test_servers_elsewhere_are_asked_by_the_hosts_of_their_clients():
    found = named(groups=["litellm"], external=SERVERS)["external redis"]
    assert found["options"] == {**SERVERS[0], "is_client": True}
    assert "external redis" not in named(groups=["ollama"], external=SERVERS)
    assert probes.check(found, {"redis": "secret"})["options"]["key"] == "secret"


def test_a_clusters_servers_elsewhere_are_asked_from_the_control_node():
    ready = "http://127.0.0.1:40000/health/readiness"
    whole, external, database = verify_hosts.cluster_probes({"namespace": "n"}, SERVERS, ready)
    assert whole["options"] == {"namespace": "n"}
    assert external["options"]["is_client"] is False
    # LiteLLM says whether it reaches its database, wherever that is.
    assert (database["options"]["url"], database["options"]["contains"]) == (ready, "connected")
    assert len(verify_hosts.cluster_probes({"namespace": "n"}, [])) == 1


def test_other_sites_are_asked_from_where_litellm_asks_them():
    north = {"service": "site", "site": "north", "url": "https://n", "key": "site-north"}
    told = [{**north, "models": ["coder:1"]}]
    asked = named(groups=["litellm"], external=told)["site north"]
    (of_cluster,) = verify_hosts.external_probes(told, is_client=False)
    assert asked == of_cluster and asked["kind"] == "site"
    assert probes.check(asked, {"site-north": "sk-1"})["options"]["key"] == "sk-1"


def test_a_clusters_portal_says_whether_people_can_sign_in():
    checks = "http://127.0.0.1:40001/checks"
    _whole, sign_on = verify_hosts.cluster_probes({"namespace": "n"}, [], checks=checks)
    assert (sign_on["name"], sign_on["kind"]) == ("people can sign in", "sign_on")
    assert sign_on["options"]["url"] == checks
