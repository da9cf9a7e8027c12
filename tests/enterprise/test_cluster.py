# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The enterprise tier in a real cluster, from an empty one to one that has nothing of it left.

The tests are a sequence: each begins with what those above it left.
"""

from __future__ import annotations

import json
import re
import time

import node
import pytest
import yaml
from cluster_site import NAMESPACE, changes
from conftest import CHAT, MODEL_PORT, OTHER_PORT, TOOL_PORT
from identity_provider import CLIENT_ID, CLIENT_SECRET
from persistent import CLIENTS

KINDS = (
    "deployments,statefulsets,pods,services,configmaps,secrets,serviceaccounts,networkpolicies,"
    "ingresses,poddisruptionbudgets,horizontalpodautoscalers,jobs,servicemonitors,prometheusrules"
)
IN = ("--namespace", NAMESPACE)
SPACE = f"/namespaces/{NAMESPACE}"
# What has nothing to do with keys, and is examined by a test of its own.
OBJECTS = ("--skip-tags", "teams,verify")
# Several times what a probe of a balancer would wait.
UNREADY_SECONDS = 15
ASKED = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}]}
# The smallest model that package mirrors have, which the control node sends.
SAMPLE = {"name": "smollm2:135m", "file": "smollm2-135m", "context": 2048, "keep_loaded": True}
SMALL = {
    "ollama_memory_mb": 768,
    "ollama_prompt_cache_mb": 64,
    "ollama_max_loaded_models": 1,
    "ollama_context_length": 2048,
}
PAGES = ("sign-in", "overview", "connect", "models", "tools", "usage")
# What a namespace has of the cluster's own.
OF_CLUSTER = {"ConfigMap kube-root-ca.crt", "ServiceAccount default"}


def names(listed: list[dict]) -> set[str]:
    return {f"{one['kind']} {one['metadata']['name']}" for one in listed} - OF_CLUSTER


def psql(cluster, statement: str) -> None:
    client = ("psql", "-U", "litellm", "-v", "ON_ERROR_STOP=1", "-c", statement)
    cluster.kubectl("exec", *IN, "postgres-0", "--", *client)


def evict(cluster, pod: str) -> None:
    """Ask for a pod's end as whoever drains its node does."""
    metadata = {"name": pod, "namespace": NAMESPACE}
    asked = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    place = f"/api/v1{SPACE}/pods/{pod}/eviction"
    cluster.kubectl("create", "--raw", place, "-f", "-", said=json.dumps(asked))


def policy(name: str, spec: dict) -> dict:
    metadata = {"name": name, "namespace": NAMESPACE}
    head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata}
    return {**head, "spec": spec}


def is_ready(pod: dict) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def test_check_mode_on_an_empty_cluster_changes_nothing(site, cluster):
    said = site.run("site.yml", *OBJECTS, "--check")
    assert "StatefulSet postgres" in said
    assert changes(said) == 6
    assert cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found") == ""


def test_the_api_server_takes_every_object_and_every_pod_becomes_ready(
    site, cluster, model, objects
):
    assert changes(site.run("site.yml", *OBJECTS, seconds=1200)) == 6
    two = "--for=jsonpath={.status.readyReplicas}=2"  # autoscalers bring the second
    scaled = ("deployment/gateway", "deployment/litellm")
    cluster.kubectl("wait", *IN, two, *scaled, "--timeout=600s", seconds=610)
    pods = [pod for pod in objects("pods") if pod["status"]["phase"] != "Succeeded"]
    assert {pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in pods} == {
        *("gateway", "litellm", "postgres", "redis", "tool-example")
    }
    assert not [pod["metadata"]["name"] for pod in pods if not is_ready(pod)]


def test_the_cluster_has_what_the_files_have_and_the_secrets(site, objects):
    rendered = [one for text in site.files().values() for one in yaml.safe_load_all(text)]
    secrets = {f"Secret {name}-secrets" for name in ("gateway", "litellm", "postgres", "redis")}
    secrets |= {"Secret entry-tls", "Secret gateway-metrics", "Secret litellm-metrics"}
    # Pods are made by what is in the files.
    made = {name for name in names(objects(KINDS)) if not name.startswith("Pod ")}
    assert made == names(rendered) - {f"Namespace {NAMESPACE}"} | secrets


def test_the_namespace_takes_no_pod_that_may_do_more(cluster):
    with pytest.raises(RuntimeError, match="violates PodSecurity"):
        cluster.kubectl("run", *IN, "more", "--image=localhost/kube:1")


def test_a_second_run_changes_nothing(site):
    assert changes(site.run("site.yml", *OBJECTS)) == 0
    assert changes(site.run("site.yml", *OBJECTS, "--check")) == 0


def test_people_have_the_keys_of_the_inventory(site, model):
    assert changes(site.run("site.yml", "--tags", "teams")) == 1
    assert changes(site.run("site.yml", "--tags", "teams")) == 0


def test_the_model_answers_whoever_has_the_key_through_the_entry_over_tls(litellm):
    assert litellm.request().problem(litellm.answer("POST", CHAT, ASKED)) == ""
    assert litellm.answer("POST", CHAT, ASKED, Authorization="Bearer no").status == 401


def test_a_stream_arrives_as_the_model_says_it(litellm, model):
    model.may_go_on.clear()
    try:
        answer = litellm.answer("POST", CHAT, {**ASKED, "stream": True})
        assert b"One" in answer.readline()  # and the model says no more until it may
    finally:
        model.may_go_on.set()
    assert b"[DONE]" in answer.read()


def test_what_is_the_operators_alone_is_not_behind_the_entry(litellm):
    for path in ("/metrics", "/ui", "/key/list", "/team/list", "/health/readiness"):
        assert (path, litellm.answer("GET", path).status) == (path, 404)
    assert litellm.answer("POST", "/mcp", {}, Authorization="Bearer no").status == 401


def test_pods_reach_what_the_catalog_says_and_nothing_else(reached):
    model, tool, other = (f"{node.MACHINE}:{port}" for port in (MODEL_PORT, TOOL_PORT, OTHER_PORT))
    outside = (model, tool, other)
    assert reached("deployment/litellm", NAMESPACE, *outside) == {*("postgres", "redis", *outside)}
    assert reached("deployment/gateway", NAMESPACE, *outside) == {
        *("litellm", "redis", "tool-example", *outside)
    }
    # A tool server reaches what its entry declares.
    assert reached("deployment/tool-example", NAMESPACE, *outside) == {tool}


def test_nobody_else_of_the_cluster_reaches_more_than_the_entry_does(reached, other_pod):
    for namespace, services in (("traefik", {"gateway", "litellm"}), ("default", set())):
        other_pod(namespace)
        assert reached("pod/other", namespace) == services


def test_verify_finds_a_policy_that_is_gone_one_that_was_changed_and_one_of_others(site, cluster):
    site.run("verify.yml", seconds=900)
    cluster.kubectl("delete", *IN, "networkpolicy", "postgres")
    everything = '[{"op": "add", "path": "/spec/egress", "value": [{}]}]'
    cluster.kubectl("patch", *IN, "networkpolicy", "redis", "--type=json", "-p", everything)
    foreign = {"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]}
    cluster.kubectl("apply", "-f", "-", said=json.dumps(policy("open", foreign)))
    done = site.try_to_run("verify.yml", seconds=900)
    assert done.returncode == 2
    for row in ("missing NetworkPolicy postgres", "changed NetworkPolicy redis", "foreign Net"):
        assert row in done.stdout
    cluster.kubectl("delete", *IN, "networkpolicy", "open")
    site.run("site.yml", seconds=900)  # which verifies, too


def test_doctor_names_what_is_missing_and_what_was_changed_and_applies_it(site, cluster):
    site.run("doctor.yml")
    cluster.kubectl("delete", *IN, "networkpolicy/postgres", "secret/redis-secrets")
    more = '{"spec": {"maxUnavailable": 2}}'
    cluster.kubectl("patch", *IN, "poddisruptionbudget", "litellm", "--type=merge", "-p", more)
    done = site.try_to_run("doctor.yml")
    assert done.returncode == 2
    for row in ("missing NetworkPolicy postgres", "missing Secret redis-secrets"):
        assert row in done.stdout
    assert "drift PodDisruptionBudget litellm" in done.stdout
    site.run("doctor.yml", "--tags", "fix")


def test_pods_are_evicted_one_at_a_time_without_a_failed_request(cluster, litellm):
    first, second = sorted(litellm.pods())

    def is_replaced(pod):
        cluster.kubectl("wait", *IN, "--for=delete", f"pod/{pod}", "--timeout=90s", seconds=100)
        return len(litellm.pods()) == 2

    def evict_both():
        evict(cluster, first)
        with pytest.raises(RuntimeError, match="disruption budget"):
            evict(cluster, second)
        assert is_replaced(first)
        evict(cluster, second)
        assert is_replaced(second)

    assert litellm.problems_during(evict_both) == []


def test_a_killed_program_costs_no_more_than_one_request_of_each_client(cluster, litellm, objects):
    pod = min(litellm.pods())
    (found,) = (one for one in objects("pods") if one["metadata"]["name"] == pod)
    (container,) = found["status"]["containerStatuses"]

    def kill():
        cluster.kill(container["containerID"].removeprefix("containerd://"))
        again = "--for=jsonpath={.status.containerStatuses[0].restartCount}=1"
        for condition in (again, "--for=condition=Ready"):
            cluster.kubectl("wait", *IN, condition, f"pod/{pod}", "--timeout=180s", seconds=190)

    problems = litellm.problems_during(kill)
    assert len(problems) <= CLIENTS, problems


def test_no_request_fails_while_the_database_is_away(cluster, litellm):
    """Longer than LiteLLM calls itself ready without it, as when its node is drained."""
    pod = min(litellm.pods())
    asked = f"/api/v1{SPACE}/pods/{pod}:4000/proxy/health/readiness"

    def is_ready_to_work():
        try:
            return bool(cluster.kubectl("get", "--raw", asked))
        except RuntimeError as error:
            assert "unable to handle the request" in str(error)
            return False

    def move():
        assert is_ready_to_work()
        cluster.kubectl("scale", *IN, "statefulset/postgres", "--replicas=0")
        ends_at = time.monotonic() + 90
        while is_ready_to_work():
            assert time.monotonic() < ends_at, "LiteLLM misses no database"
            time.sleep(1)  # polls a service, which sends no event
        time.sleep(UNREADY_SECONDS)  # the fault lasts this long
        cluster.kubectl("scale", *IN, "statefulset/postgres", "--replicas=1")
        for condition in ("--for=create", "--for=condition=Ready"):
            cluster.kubectl("wait", *IN, condition, "pod/postgres-0", "--timeout=120s", seconds=130)

    assert litellm.problems_during(move) == []


def test_a_failed_migration_stops_the_rollout_and_the_version_of_before_serves(
    site, cluster, litellm
):
    pods = litellm.pods()
    record = "INSERT INTO _prisma_migrations (id, checksum, migration_name)"
    psql(cluster, f"{record} VALUES ('half', 'none', '29990101000000_half_done')")
    site.write("group_vars/all/memory.yml", {"litellm_memory_mb": 2056})
    done = site.try_to_run("site.yml", *OBJECTS)
    assert done.returncode == 2
    assert re.search(r"Job litellm-prepare-\w+: it failed \(BackoffLimitExceeded\)", done.stdout)
    assert "migration '29990101000000_half_done' began at" in done.stdout
    assert litellm.pods() == pods
    assert litellm.problems_during(lambda: None) == []


def test_a_new_version_is_rolled_out_without_a_failed_request(site, cluster, litellm):
    pods = litellm.pods()
    psql(cluster, "DELETE FROM _prisma_migrations WHERE id = 'half'")
    assert litellm.problems_during(lambda: site.run("site.yml", *OBJECTS, seconds=1200)) == []
    assert not litellm.pods() & pods
    assert changes(site.run("site.yml", *OBJECTS)) == 0


def test_people_sign_in_at_the_portal_through_the_ingress_and_verify_asks_whether_they_can(
    site, put_into_cluster, provider, visit
):
    oidc = {
        "issuer": provider.issuer,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "ca_file": str(provider.authority),
        "teams": [{"group": "dev-payments", "team": "payments"}],
    }
    teams = [{"name": "payments", "models": ["scripted"]}]
    put_into_cluster("portal", {"platform_oidc": oidc, "teams": teams})
    site.run("site.yml", "--skip-tags", "verify", seconds=1200)
    seen = visit("alice", *PAGES[1:])
    assert {page: one["status"] for page, one in seen.items()} == dict.fromkeys(PAGES, 200)
    site.run("verify.yml", seconds=900)
    assert sign_on(site) == "passed"
    provider.program.stop()
    assert site.try_to_run("verify.yml", seconds=900).returncode == 2
    assert sign_on(site) == "failed"


def sign_on(site) -> str:
    """What the last report says of the portal."""
    report = json.loads((site.inventory / ".intranet-mcp/reports/verify.json").read_text())
    found = [one for one in report["checks"] if one["name"].startswith("people can sign in")]
    return "failed" if "failed" in {one["status"] for one in found} else found[0]["status"]


def test_a_tool_that_the_inventory_no_longer_has_is_removed(site, cluster, objects):
    def version():
        """What LiteLLM's pods are made after, whose number is the autoscaler's."""
        (found,) = objects("deployments", "--selector", "app.kubernetes.io/name=litellm")
        return found["spec"]["template"]

    before = version()
    without = {name: {"enabled": False} for name in ("filesystem", "browser", "example")}
    site.write("group_vars/all/tools.yml", {"mcp_servers": without})
    # It goes, the gateway asks it no more, and the portal shows it to nobody.
    assert changes(site.run("site.yml", *OBJECTS)) == 3
    # The run removes what has pods; these take until their grace period is over.
    pods = ("pods", "--selector", "app.kubernetes.io/name=tool-example", "--timeout=90s")
    cluster.kubectl("wait", *IN, "--for=delete", *pods, seconds=100)
    assert not [name for name in names(objects(KINDS)) if "tool-example" in name]
    assert version() == before


def test_weights_of_a_package_reach_ollama_and_its_model_answers(
    site, cluster, put_into_cluster, litellm
):
    said = yaml.safe_load((site.inventory / "group_vars/kubernetes/main.yml").read_text())
    volumes = {**said["kubernetes_volumes"], "ollama": {"models": {"size": "2Gi"}}}
    site.write("group_vars/kubernetes/weights.yml", {"kubernetes_volumes": volumes})
    put_into_cluster("ollama", {"ollama_models": [SAMPLE], **SMALL})
    site.run("site.yml", *OBJECTS, seconds=1800)
    asked = {**ASKED, "model": SAMPLE["name"], "max_tokens": 8}
    assert litellm.answer("POST", CHAT, asked).status == 200
    loaded = cluster.kubectl("exec", *IN, "ollama-0", "--", "ollama", "ps")
    assert re.search(r"smollm2:135m .* 2048 +Forever", loaded)
    (record,) = site.inventory.glob(".intranet-mcp/kubernetes/*-models.json")
    assert json.loads(record.read_text())[SAMPLE["name"]]["context"] == 2048
    assert changes(site.run("site.yml", *OBJECTS)) == 0


def test_a_new_pod_of_ollama_has_the_weights_that_were_sent_to_the_one_before(cluster, litellm):
    cluster.kubectl("delete", "pod", *IN, "ollama-0", seconds=120)
    for condition in ("--for=create", "--for=condition=Ready"):
        cluster.kubectl("wait", *IN, condition, "pod/ollama-0", "--timeout=180s", seconds=190)
    asked = {**ASKED, "model": SAMPLE["name"], "max_tokens": 8}
    assert litellm.answer("POST", CHAT, asked).status == 200


def test_a_route_of_the_gateway_api_takes_the_ingress_place(site, objects, litellm):
    parent = {"name": "public", "namespace": "traefik"}
    route = {"kind": "http_route", "parent": parent, "namespace": "traefik"}
    site.write("group_vars/kubernetes/way.yml", {"kubernetes_ingress": route})
    assert changes(site.run("site.yml", *OBJECTS)) == 1
    assert names(objects("ingresses,httproutes")) == {"HTTPRoute entry"}
    litellm.wait_until_it_answers()
    assert litellm.problems_during(lambda: None) == []
    assert changes(site.run("site.yml", *OBJECTS)) == 0


@pytest.mark.parametrize("name", ["gateway", "litellm"])
def test_an_autoscaler_brings_more_pods_under_load_and_apply_leaves_them(
    name, site, cluster, objects, load
):
    with load(name):
        four = ("--for=jsonpath={.spec.replicas}=4", f"deployment/{name}", "--timeout=240s")
        cluster.kubectl("wait", *IN, *four, seconds=250)
    ready = ("--for=jsonpath={.status.readyReplicas}=4", f"deployment/{name}", "--timeout=300s")
    cluster.kubectl("wait", *IN, *ready, seconds=310)
    assert changes(site.run("site.yml", *OBJECTS)) == 0
    (deployment,) = objects("deployments", "--selector", f"app.kubernetes.io/name={name}")
    assert deployment["spec"]["replicas"] == 4


def test_absent_leaves_claims_alone(site, cluster, objects):
    assert changes(site.run("absent.yml")) == 1
    cluster.kubectl("wait", *IN, "--for=delete", "pods", "--all", "--timeout=180s", seconds=190)
    assert names(objects(KINDS)) == set()
    claims = {one["metadata"]["name"] for one in objects("persistentvolumeclaims")}
    assert claims == {"data-postgres-0", "data-redis-0", "models-ollama-0"}
    assert changes(site.run("absent.yml")) == 0


def test_absent_with_data_leaves_nothing(site, cluster):
    site.run("absent.yml", "-e", "absent_data=true")
    assert cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found") == ""
