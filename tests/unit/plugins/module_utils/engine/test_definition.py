# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.engine import definition
from ansible_collections.intranet.mcp.plugins.module_utils.engine.definition import (
    LABEL_HASH,
    LABEL_OWNER,
    LABEL_SERVICE,
    orphans,
    plan,
    specs,
)

DEFINITION = {
    "name": "redis",
    "image": "redis",
    "user": "999:999",
    "command": ["redis-server", "/config/redis.conf"],
    "files": {"redis.conf": "port 6379\n"},
    "secrets": {"password": "s3cret-value"},
    "secret_env": {"TOKEN": "t0ken-value"},
    "volumes": {"data": "/data"},
    "health": {"command": ["redis-cli", "ping"]},
    "memory_mb": 64,
}
CONTEXT = {
    "prefix": "intranet-",
    "config_dir": "/etc/x",
    "data_dir": "/var/x",
    "owner": "redis",
    "images": {"redis": "intranet-mcp/redis:8"},
    "services": {
        "redis": {
            "port": 6379,
            "inside_port": 6379,
            "publish": ["127.0.0.1"],
            "networks": [
                {"name": "intranet-mcp-redis", "interface": "redis-1"},
                {"name": "intranet-mcp-vault", "interface": "vault-1"},
            ],
        }
    },
}


def spec(**changes):
    (found,) = specs([{**DEFINITION, **changes}], CONTEXT)
    return found


def container(found, **changes):
    """What the daemon reports of a container made from this spec."""
    return {
        "Names": ["/" + found["container"]["name"]],
        "Labels": found["container"]["labels"],
        "State": "running",
        "Status": "Up 2 minutes (healthy)",
        "ImageID": "sha256:1",
        **changes,
    }


def host(*containers):
    images = [{"RepoTags": ["intranet-mcp/redis:8"], "Id": "sha256:1"}, {"RepoTags": None}]
    networks = [{"Name": f"intranet-mcp-{name}"} for name in ("redis", "vault")]
    return {"containers": list(containers), "images": images, "networks": networks}


def test_a_spec_names_image_port_and_labels():
    found = spec()["container"]
    assert found["image"] == "intranet-mcp/redis:8"
    assert found["published_ports"] == ["127.0.0.1:6379:6379"]
    assert found["labels"][LABEL_SERVICE] == "redis"
    assert found["labels"][LABEL_OWNER] == "redis"


def test_a_file_may_lie_in_a_directory_of_its_own():
    found = spec(files={"redis.conf": "a", "more/one.conf": "b", "more/two.conf": "c"})
    home = "/etc/x/redis/config"
    assert {file["path"]: file["mode"] for file in found["files"]} == {
        f"{home}/{name}": "0444" for name in ("redis.conf", "more/one.conf", "more/two.conf")
    }
    made = [d for d in found["directories"] if d["path"].startswith(home)]
    assert [(d["path"], d["mode"], d["exclusive"]) for d in made] == [
        (home, "0755", True),
        (f"{home}/more", "0755", True),
    ]


def test_a_container_is_on_the_networks_that_the_catalog_gives_it_and_forwards_nothing():
    found = spec()["container"]
    assert found["network_mode"] == "intranet-mcp-redis"
    assert found["networks"] == [
        {"name": "intranet-mcp-redis", "aliases": ["redis"]},
        {"name": "intranet-mcp-vault", "aliases": ["redis"]},
    ]
    assert found["sysctls"] == {"net.ipv4.ip_forward": "0"}


def test_a_container_that_may_not_leave_asks_for_no_names_outside():
    """The engine passes such questions on itself, past the rules for the container's packets."""
    assert spec()["container"]["dns_servers"] == ["127.0.0.1"]
    redis = {**CONTEXT["services"]["redis"], "egress": True}
    (found,) = specs([DEFINITION], {**CONTEXT, "services": {"redis": redis}})
    assert found["container"]["dns_servers"] == []


TRUST = {"path": "/etc/x/trust", "digest": "one"}
OPEN = {"redis": {**CONTEXT["services"]["redis"], "egress": True}}


def trusting(digest, services=CONTEXT["services"], **changes):
    context = {**CONTEXT, "services": services, "trust": {**TRUST, "digest": digest}}
    (found,) = specs([{**DEFINITION, **changes}], context)
    return found


def test_a_container_has_the_sites_authorities_and_is_told_of_them():
    found = trusting("one")["container"]
    assert "/etc/x/trust:/trust:ro,z" in found["volumes"]
    assert found["env"]["SSL_CERT_FILE"] == found["env"]["REQUESTS_CA_BUNDLE"] == "/trust/ca.pem"
    assert found["env"]["NODE_EXTRA_CA_CERTS"] == "/trust/site.pem"


def test_what_a_definition_says_of_authorities_wins():
    found = trusting("one", env={"SSL_CERT_FILE": "/config/other.pem"})["container"]["env"]
    assert found["SSL_CERT_FILE"] == "/config/other.pem"
    assert found["CURL_CA_BUNDLE"] == "/trust/ca.pem"


def test_a_site_without_authorities_changes_no_container():
    assert trusting("")["container"] == spec()["container"]


def test_other_authorities_replace_whoever_connects_to_something_outside():
    running = container(trusting("one", OPEN))
    (change,) = plan([trusting("two", OPEN)], host(running), "redis")["create"]
    assert "configuration changed" in change["reason"]
    assert plan([trusting("one", OPEN)], host(running), "redis")["create"] == []


def test_other_authorities_restart_nobody_who_connects_to_nothing_outside():
    running = container(trusting("one"))
    assert plan([trusting("two")], host(running), "redis")["create"] == []


def test_networks_that_are_not_there_yet_are_made():
    there = {**host(), "networks": [{"Name": "intranet-mcp-vault"}, {"Name": "bridge"}]}
    found = plan([spec()], there, "redis")["networks"]
    assert found == [{"name": "intranet-mcp-redis", "interface": "redis-1"}]


def test_a_service_without_a_network_is_refused_rather_than_put_on_the_hosts():
    with pytest.raises(Unusable, match="gives it no network on this host; expected"):
        specs([DEFINITION], {**CONTEXT, "services": {}})


def test_the_platforms_own_directories_and_no_others_get_selinuxs_label():
    """`z` relabels what lies there: right for these, and ruin for /home or a socket."""
    binds = ["/srv/data:/data2:ro", "/var/run/some.sock:/run/some.sock:rw"]
    context = {**CONTEXT, "trust": {"path": "/etc/x/trust", "digest": "1"}}
    (found,) = specs([{**DEFINITION, "binds": binds}], context)
    labelled = [m for m in found["container"]["volumes"] if "z" in m.rpartition(":")[2].split(",")]
    assert [mount for mount in found["container"]["volumes"] if mount not in labelled] == binds
    assert [mount.split(":")[1] for mount in labelled] == ["/config", "/secrets", "/data", "/trust"]
    for mount in labelled:
        assert mount.startswith((CONTEXT["config_dir"], CONTEXT["data_dir"], "/etc/x/trust")), mount


def test_the_label_makes_no_container_anew(monkeypatch):
    """Hosts where it is needed had no running ones, and to others it says nothing."""
    labelled = spec()["hash"]
    monkeypatch.setattr(definition, "LABELLED", "Z")
    assert spec()["hash"] == labelled


def test_a_label_that_the_site_gives_makes_its_container_anew():
    before, after = (spec(binds=[f"/srv/data:/data2:rw{label}"]) for label in ("", ",z"))
    assert before["hash"] != after["hash"]


def test_secrets_reach_files_and_never_the_container_parameters():
    found = spec()
    text = json.dumps(found["container"])
    assert "s3cret-value" not in text
    assert "t0ken-value" not in text
    assert {(file["mode"], file["owner"]) for file in found["secrets"]} == {("0400", "999")}
    assert {file["content"] for file in found["secrets"]} == {"s3cret-value", "t0ken-value"}


@pytest.mark.parametrize(
    "change",
    [
        {"memory_mb": 65},
        {"files": {"redis.conf": "port 6380\n"}},
        {"secrets": {"password": "another"}},
        {"env": {"A": "1"}},
    ],
)
def test_any_change_of_definition_configuration_or_secret_changes_the_hash(change):
    assert spec(**change)["hash"] != spec()["hash"]


def test_a_file_the_program_reloads_itself_does_not_change_the_hash():
    one = spec(reload=["redis.conf"])
    two = spec(reload=["redis.conf"], files={"redis.conf": "port 1\n"})
    assert one["hash"] == two["hash"]


def test_a_secret_the_program_takes_without_a_restart_does_not_change_the_hash():
    before = spec(reload=["password"])
    after = spec(reload=["password"], secrets={"password": "an0ther"})
    assert after["hash"] == before["hash"]
    assert after["secrets"] != before["secrets"]


def test_further_ports_are_published_with_the_first():
    part = {"port": 80, "inside_port": 8080, "publish": ["0.0.0.0"]}
    closed = {"port": 81, "inside_port": 81, "publish": []}
    service = {**CONTEXT["services"]["redis"], "parts": [part, closed]}
    (found,) = specs([DEFINITION], {**CONTEXT, "services": {"redis": service}})
    ports = ["127.0.0.1:6379:6379", "0.0.0.0:80:8080"]
    assert found["container"]["published_ports"] == ports


CATALOG = {"redis": {"group": "redis"}, "tool_server": {"group": "tool_servers"}}


def test_a_service_whose_group_left_the_host_is_removed():
    found = spec()
    assert orphans(host(container(found)), CATALOG, ["postgres"]) == ["intranet-redis"]


def test_what_every_host_runs_is_removed_once_it_is_off():
    everywhere = {"redis": {"group": "platform", "enabled": True}}
    assert orphans(host(container(spec())), everywhere, ["postgres"]) == []
    everywhere["redis"]["enabled"] = False
    assert orphans(host(container(spec())), everywhere, ["postgres"]) == ["intranet-redis"]


def test_services_of_a_role_that_is_named_otherwise_are_removed_too():
    of_role = {"cache": {"group": "caches", "role": "redis"}}
    assert orphans(host(container(spec())), of_role, ["postgres"]) == ["intranet-redis"]
    assert orphans(host(container(spec())), of_role, ["caches"]) == []


def test_a_service_whose_group_has_the_host_stays():
    assert orphans(host(container(spec())), CATALOG, ["redis", "postgres"]) == []


def test_a_host_without_an_engine_has_nothing_to_remove():
    assert orphans({"failed": True}, CATALOG, []) == []


def test_containers_of_owners_the_catalog_does_not_know_stay():
    assert orphans(host(container(spec())), {}, []) == []


def test_making_a_spec_leaves_the_definition_alone():
    before = copy.deepcopy(DEFINITION)
    spec()
    assert before == DEFINITION


def test_the_directory_of_several_volumes_is_listed_once():
    (found,) = specs([{**DEFINITION, "volumes": {"a": "/a", "b": "/b"}}], CONTEXT)
    paths = [directory["path"] for directory in found["directories"]]
    assert len(paths) == len(set(paths))
    assert {path.rpartition("/")[2] for path in paths} >= {"a", "b"}


def test_an_absent_container_is_created():
    decision = plan([spec()], host(), "redis")
    assert [(c["name"], c["reason"]) for c in decision["create"]] == [
        ("intranet-redis", "is not there")
    ]


@pytest.mark.parametrize(
    ("api", "expected"),
    [
        ("1.43", {"interval": "5s", "retries": 12}),
        ("1.44", {"interval": "20s", "retries": 3, "start_interval": "1s"}),
    ],
)
def test_a_healthy_container_is_asked_seldom_where_the_engine_can_tell_a_start(api, expected):
    (created,) = plan([spec()], {**host(), "api": api}, "redis")["create"]
    always = {"test": ["CMD", "redis-cli", "ping"], "timeout": "5s", "start_period": "30s"}
    assert created["healthcheck"] == {**always, **expected}
    assert plan([spec()], {**host(container(spec())), "api": api}, "redis")["create"] == []


def test_an_equal_container_is_left_alone():
    decision = plan([spec()], host(container(spec())), "redis")
    unchanged = ["intranet-redis"]
    nothing = {key: [] for key in ("create", "stop", "remove", "networks")}
    assert decision == {**nothing, "unchanged": unchanged}


BALANCERS = {
    "balancer": {**DEFINITION, "name": "balancer", "hand_over": ["holder"]},
    "holder": {
        **DEFINITION,
        "name": "holder",
        "user": "0:0",
        "capabilities": ["NET_ADMIN"],
        "host_network": True,
    },
}
BALANCING = {**CONTEXT, "services": {"balancer": CONTEXT["services"]["redis"]}}


def test_who_hands_over_stops_first_and_comes_back_last():
    wanted = specs(list(BALANCERS.values()), BALANCING)
    stale = container(wanted[0], Status="Up 2 minutes (unhealthy)")
    decision = plan(wanted, host(stale, container(wanted[1])), "redis")
    assert decision["stop"] == ["intranet-holder"]
    assert [(c["name"], c["reason"]) for c in decision["create"]] == [
        ("intranet-balancer", "is unhealthy"),
        ("intranet-holder", "hands over to another host meanwhile"),
    ]


def test_who_has_nothing_to_hand_over_is_left_alone():
    wanted = specs(list(BALANCERS.values()), BALANCING)
    assert plan(wanted, host(*map(container, wanted)), "redis")["stop"] == []
    assert plan(wanted, host(), "redis")["stop"] == []


def test_a_service_on_the_hosts_network_is_on_no_other_and_publishes_nothing():
    _balancer, holder = specs(list(BALANCERS.values()), BALANCING)
    found = holder["container"]
    assert (found["network_mode"], found["networks"]) == ("host", [])
    assert found["published_ports"] == []


def test_an_ipv6_address_is_published_in_brackets():
    ports = {"port": 443, "inside_port": 8443, "publish": ["0.0.0.0", "::"]}
    services = {"redis": {**CONTEXT["services"]["redis"], **ports}}
    (found,) = specs([DEFINITION], {**CONTEXT, "services": services})
    assert found["container"]["published_ports"] == ["0.0.0.0:443:8443", "[::]:443:8443"]


@pytest.mark.parametrize(
    ("reported", "reason"),
    [
        ({"State": "exited"}, "is exited"),
        ({"Status": "Up 5 minutes (unhealthy)"}, "is unhealthy"),
        ({"ImageID": "sha256:2"}, "image changed"),
        ({"Labels": {**spec()["container"]["labels"], LABEL_HASH: "0"}}, "configuration changed"),
    ],
)
def test_a_container_that_differs_is_replaced_with_a_reason(reported, reason):
    (change,) = plan([spec()], host(container(spec(), **reported)), "redis")["create"]
    assert reason in change["reason"]


def test_a_container_no_longer_defined_is_removed():
    assert plan([], host(container(spec())), "redis")["remove"] == ["intranet-redis"]


def test_containers_of_other_owners_are_never_touched():
    assert plan([], host(container(spec())), "postgres")["remove"] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"memroy_mb": 1}, "unknown key memroy_mb"),
        ({"user": "root"}, "expected numbers 'uid:gid'"),
        ({"user": "0:0"}, "runs as root"),
        ({"user": "0:0", "binds": ["/a:/a:ro", "/b:/b"]}, "runs as root"),
        ({"user": "0:0", "binds": ["/a:/a:ro"], "capabilities": ["CHOWN"]}, "runs as root"),
        ({"user": "00:0"}, "expected numbers"),
        ({"user": "999"}, "expected numbers"),
    ],
)
def test_a_wrong_definition_is_refused_with_the_remedy(change, message):
    with pytest.raises(Unusable, match=message):
        spec(**change)


def test_root_without_a_capability_may_read_what_is_mounted_read_only():
    found = spec(user="0:10001", binds=["/logs:/logs:ro", "/audit:/audit:ro,z"])
    assert found["container"]["user"] == "0:10001"
    assert found["container"]["capabilities"] == []


def test_the_engine_says_with_each_line_of_a_log_which_service_it_is_of():
    assert spec()["container"]["log_options"]["labels"] == "intranet.mcp.service"


def test_a_missing_key_is_named():
    with pytest.raises(Unusable, match="missing key health"):
        specs([{key: value for key, value in DEFINITION.items() if key != "health"}], CONTEXT)


def test_a_service_with_gpus_asks_for_them_by_their_cdi_name():
    assert spec(gpus=True)["container"]["env"]["NVIDIA_VISIBLE_DEVICES"] == "nvidia.com/gpu=all"
    assert "NVIDIA_VISIBLE_DEVICES" not in spec()["container"]["env"]
