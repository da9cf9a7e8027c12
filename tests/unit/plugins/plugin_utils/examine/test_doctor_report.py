# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.doctor_report import (
    fixes,
    of_probes,
    report,
    table,
    with_probes,
)

AT = "2026-11-24T22:00:00+00:00"

ORDER = ["postgres", "redis", "ollama", "litellm", "gateway"]


def finding(fix="", service="", role="", check="container"):
    return {
        "check": check,
        "found": f"{service} is broken",
        "expected": "well",
        "action": "mend it",
        "fix": fix,
        "service": service,
        "role": role or service,
    }


def examined(*findings, unseen=()):
    facts = {"containers": {"redis": {}, "litellm": {}}}
    return {"changed": False, "findings": list(findings), "unseen": list(unseen), "facts": facts}


def test_a_platform_that_is_well_is_said_to_be():
    found = report({"a": examined(), "b": examined()}, AT)
    assert found["healthy"]
    assert table(found) == ["Healthy: 4 containers on 2 hosts, nothing found."]


def test_each_finding_is_told_with_its_host_and_the_verdict_comes_last():
    found = report({"a": examined(), "b": examined(finding("start", "redis"), finding())}, AT)
    lines = table(found)
    assert lines[0] == "1. b, container"
    assert lines[1:4] == [
        "   found:    redis is broken",
        "   expected: well",
        "   do:       mend it   [--tags fix does it]",
    ]
    assert lines[7] == "   do:       mend it"
    assert (
        lines[-1]
        == "Unhealthy: 2 findings, 1 of them fixed by --tags fix (4 containers on 2 hosts)."
    )


def test_what_was_not_examined_is_told_once_a_reason():
    unseen = [{"check": "models", "why": "no answer"}, {"check": "context", "why": "no answer"}]
    lines = table(report({"a": examined(unseen=unseen)}, AT))
    assert lines[0] == "not examined on a, as no answer: models, context"
    assert lines[-1].startswith("Healthy")


def test_a_host_that_is_away_is_a_finding():
    away = {"unreachable": True, "msg": "Failed to connect\n to the host"}
    found = report({"a": away, "b": {"failed": True, "msg": "no Python"}, "c": {}}, AT)
    texts = [finding["found"] for finding in found["findings"]]
    assert texts == [
        "a is out of reach: Failed to connect to the host",
        "b could not be examined: no Python",
        "c could not be examined: nothing came back",
    ]
    assert not found["healthy"]


def balancer(*held):
    result = examined()
    result["facts"]["shared_address"] = {
        "addresses": ["10.0.0.10"],
        "held": list(held),
        "container": "own-keepalived",
    }
    return result


def test_an_address_that_one_balancer_holds_is_well():
    assert report({"a": balancer("10.0.0.10"), "b": balancer(), "c": examined()}, AT)["healthy"]


def test_an_address_that_two_balancers_hold_or_none_is_a_finding():
    (found,) = report({"a": balancer("10.0.0.10"), "b": balancer("10.0.0.10")}, AT)["findings"]
    assert found["host"] == "a and b"
    assert found["found"] == "a holds 10.0.0.10; b holds 10.0.0.10"
    (found,) = report({"a": balancer(), "b": balancer()}, AT)["findings"]
    assert found["found"] == "nobody holds 10.0.0.10"
    assert "docker logs own-keepalived " in found["action"]


def test_a_balancer_that_is_away_may_be_the_holder():
    away = {"unreachable": True, "msg": "no route"}
    (found,) = report({"a": balancer(), "b": away}, AT)["findings"]
    assert found["check"] == "host"


def test_services_are_mended_in_the_order_in_which_they_need_one_another():
    order = fixes([finding("start", name) for name in ("gateway", "litellm", "postgres")], ORDER)
    assert [role["role"] for role in order["roles"]] == ["postgres", "litellm", "gateway"]
    assert order["host"] == []


def test_a_service_of_an_unknown_role_is_mended_last():
    order = fixes([finding("start", "dashboards"), finding("start", "gateway")], ORDER)
    assert [role["role"] for role in order["roles"]] == ["gateway", "dashboards"]


def test_the_host_is_mended_before_its_services():
    found = [finding("firewall"), finding("engine"), finding("daemon_json"), finding()]
    of_host = ["daemon_json", "engine", "firewall"]
    assert fixes(found, ORDER) == {"cluster": False, "host": of_host, "roles": []}


def test_a_container_that_is_made_anew_is_not_started_before():
    found = [finding("connect", "litellm"), finding("replace", "litellm")]
    assert fixes(found, ORDER)["roles"] == [
        {"role": "litellm", "stop": ["litellm"], "containers": [], "run": True}
    ]


def test_one_restart_mends_what_a_restart_and_a_connection_mend():
    broken = (("connect", "tool-a"), ("restart", "tool-a"), ("start", "tool-b"))
    found = [finding(fix, service, "tool_server") for fix, service in broken]
    (role,) = fixes(found, ORDER)["roles"]
    assert role["containers"] == [
        {"service": "tool-a", "restart": True},
        {"service": "tool-b", "restart": False},
    ]
    assert not role["run"]


def test_a_missing_model_runs_the_role_without_stopping_anything():
    (role,) = fixes([finding("models", "ollama")], ORDER)["roles"]
    assert role == {"role": "ollama", "stop": [], "containers": [], "run": True}


def row(name, status="failed"):
    said = {"found": "it is not there", "expected": "it", "action": "apply"}
    return {"group": "Hosts", "name": name, "status": status, **said}


def test_what_a_probe_finds_in_a_cluster_is_told_as_of_a_host():
    names = ("missing NetworkPolicy redis", "changed NetworkPolicy redis", "drift Service redis")
    fine = [row("cluster pods", "passed"), row("HorizontalPodAutoscaler gateway", "warning")]
    found = of_probes({"checks": [*map(row, names), *fine]})
    assert [one["check"] for one in found["findings"]] == [*names]
    assert fixes(found["findings"], ORDER) == {"cluster": True, "host": [], "roles": []}
    (told, *_others) = table(report({"cluster": found}, AT))
    assert "cluster" in told


def test_what_pods_say_and_policies_of_others_are_for_a_person():
    names = ("pod gateway-0", "rollout Deployment gateway", "foreign NetworkPolicy open", "cluster")
    found = of_probes({"checks": [row(name) for name in names]})["findings"]
    assert len(found) == 4
    assert not fixes(found, ORDER)["cluster"]


def test_a_cluster_that_cannot_be_examined_is_a_finding():
    (finding,) = report({"cluster": of_probes({"msg": "no kubeconfig"})}, AT)["findings"]
    assert "no kubeconfig" in finding["found"]


def test_what_probes_from_a_host_find_stands_beside_what_was_found_on_it():
    probed = {"checks": [row("external redis"), row("external postgres", "passed")]}
    found = with_probes(examined(finding("start", "redis")), probed, "external servers")
    assert [one["check"] for one in found["findings"]] == ["container", "external redis"]
    assert found["facts"] == examined()["facts"]


def test_probes_that_could_not_run_are_a_finding():
    for failure in ({"failed": True, "msg": "no module\nnamed x"}, {"msg": "", "failed": True}):
        found = with_probes(examined(), failure, "external servers")
        (told,) = report({"a": found}, AT)["findings"]
        assert (told["host"], told["check"]) == ("a", "external servers")
        said = " ".join(failure["msg"].split()) or "nothing came back"
        assert told["found"] == f"the probes could not run: {said}"
        assert told["expected"] and told["action"] and not told["fix"]


def test_what_probes_warn_of_is_told_and_makes_no_platform_unhealthy():
    probed = {"checks": [row("site north", "warning"), row("external redis", "passed")]}
    found = report({"a": with_probes(examined(), probed, "external servers")}, AT)
    assert found["healthy"] and [one["check"] for one in found["noted"]] == ["site north"]
    warned, verdict = table(found)
    assert warned == "warning from a, site north: it is not there; expected it: apply"
    assert verdict.startswith("Healthy")
