# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The enterprise tier in a real cluster, from an empty one to one that has nothing of it left.

The tests are a sequence: each begins with what those above it left.
"""

from __future__ import annotations

import re

import pytest
import yaml
from cluster_site import NAMESPACE

KINDS = (
    "deployments,statefulsets,pods,services,configmaps,secrets,serviceaccounts,networkpolicies,"
    "ingresses,poddisruptionbudgets,horizontalpodautoscalers,jobs"
)
IN = ("--namespace", NAMESPACE)
# What a namespace has of the cluster's own.
OF_CLUSTER = {"ConfigMap kube-root-ca.crt", "ServiceAccount default"}


def changes(said: str) -> int:
    """The number of tasks that changed something, by the recap."""
    return int(re.search(r"^cluster\s*:.* changed=(\d+) ", said, re.MULTILINE)[1])


def names(listed: list[dict]) -> set[str]:
    return {f"{one['kind']} {one['metadata']['name']}" for one in listed} - OF_CLUSTER


def psql(cluster, statement: str) -> None:
    client = ("psql", "-U", "litellm", "-v", "ON_ERROR_STOP=1", "-c", statement)
    cluster.kubectl("exec", *IN, "postgres-0", "--", *client)


def is_ready(pod: dict) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def test_check_mode_on_an_empty_cluster_changes_nothing(site, cluster):
    said = site.run("apply.yml", "--check")
    assert "StatefulSet postgres" in said
    assert changes(said) == 6
    assert cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found") == ""


def test_the_api_server_takes_every_object_and_every_pod_becomes_ready(
    site, cluster, model, objects
):
    assert changes(site.run("apply.yml", seconds=1200)) == 6
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
    # Pods are made by what is in the files.
    made = {name for name in names(objects(KINDS)) if not name.startswith("Pod ")}
    assert made == names(rendered) - {f"Namespace {NAMESPACE}"} | secrets


def test_the_namespace_takes_no_pod_that_may_do_more(cluster):
    with pytest.raises(RuntimeError, match="violates PodSecurity"):
        cluster.kubectl("run", *IN, "more", "--image=localhost/kube:1")


def test_a_second_run_changes_nothing(site):
    assert changes(site.run("apply.yml")) == 0
    assert changes(site.run("apply.yml", "--check")) == 0


def test_the_model_answers_whoever_has_the_key_that_the_platform_generated(litellm):
    request = litellm.request()
    answer = litellm.connect()
    answer.request(request.method, request.path, request.body, request.headers)
    assert request.problem(answer.getresponse()) == ""


def test_a_failed_migration_stops_the_rollout_and_the_version_of_before_serves(
    site, cluster, litellm
):
    pods = litellm.pods()
    record = "INSERT INTO _prisma_migrations (id, checksum, migration_name)"
    psql(cluster, f"{record} VALUES ('half', 'none', '29990101000000_half_done')")
    site.write("group_vars/all/memory.yml", {"litellm_memory_mb": 2056})
    done = site.try_to_run("apply.yml")
    assert done.returncode == 2
    assert re.search(r"Job litellm-prepare-\w+: it failed \(BackoffLimitExceeded\)", done.stdout)
    assert "migration '29990101000000_half_done' began at" in done.stdout
    assert litellm.pods() == pods
    assert litellm.problems_during(lambda: None) == []


def test_a_new_version_is_rolled_out_without_a_failed_request(site, cluster, litellm):
    pods = litellm.pods()
    psql(cluster, "DELETE FROM _prisma_migrations WHERE id = 'half'")
    assert litellm.problems_during(lambda: site.run("apply.yml", seconds=1200)) == []
    assert not litellm.pods() & pods
    assert changes(site.run("apply.yml")) == 0


def test_a_tool_that_the_inventory_no_longer_has_is_removed(site, objects, litellm):
    pods = litellm.pods()
    without = {name: {"enabled": False} for name in ("filesystem", "browser", "example")}
    site.write("group_vars/all/tools.yml", {"mcp_servers": without})
    assert changes(site.run("apply.yml")) == 2
    assert not [name for name in names(objects(KINDS)) if "tool-example" in name]
    assert litellm.pods() == pods


def test_absent_leaves_claims_alone(site, cluster, objects):
    assert changes(site.run("absent.yml")) == 1
    cluster.kubectl("wait", *IN, "--for=delete", "pods", "--all", "--timeout=180s", seconds=190)
    assert names(objects(KINDS)) == set()
    claims = {one["metadata"]["name"] for one in objects("persistentvolumeclaims")}
    assert claims == {"data-postgres-0", "data-redis-0"}
    assert changes(site.run("absent.yml")) == 0


def test_absent_with_data_leaves_nothing(site, cluster):
    site.run("absent.yml", "-e", "absent_data=true")
    assert cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found") == ""
