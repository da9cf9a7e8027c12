# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What holds of every object, whatever a site says: valid, restricted, named, in a stable order."""

from __future__ import annotations

import dataclasses
import functools
import json

import kubernetes_validate
import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.engine.definition import LABEL_HASH
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.kinds import KINDS
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import objects
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import KubernetesError
from clusters import (
    DEFINITIONS,
    ENTRY,
    MODELS_INSIDE,
    MODELS_OUTSIDE,
    OPERATOR,
    OWNERS,
    TRUST,
    by_kind,
    definition,
    everything,
    pods,
    rendered,
    target,
)
from kubernetes_validate import utils

OLDEST = (1, 33)
VERSIONS = [
    version
    for version in dict.fromkeys(utils.all_versions())
    if tuple(int(part) for part in version.split(".")[:2]) >= OLDEST
]
# Kinds of others, of which Kubernetes has no schema.
OF_OTHERS = {"Cluster", "HTTPRoute", "PrometheusRule", "ServiceMonitor"}
# Devices are handed out by v1 from this version on; the site switches them on.
SINCE = {"ResourceClaimTemplate": "1.34.0"}

SITES = {
    "inside": {},
    "secrets-and-authorities": {
        "with_secrets": True,
        "trust": TRUST,
        "trust_digest": "0123",
    },
    "models-outside": {"groups": MODELS_OUTSIDE},
    "models-inside": {"groups": MODELS_INSIDE},
    "openshift": {
        "said": {
            "random_uids": True,
            "image_pull_secrets": ["registry"],
            "dns": {"namespace": "openshift-dns", "ports": [5353]},
        }
    },
    "operator-of-postgresql": {"with_secrets": True, "said": {"postgres": OPERATOR}},
    "gateway-api-and-devices": {
        "said": {
            "ingress": {
                "kind": "http_route",
                "parent": {"name": "public", "namespace": "gateways", "section": "https"},
                "networks": ["192.0.2.200/32"],
            },
            "gpu": {
                "device_class": "gpu.nvidia.com",
                "node_selector": {"pool": "gpu"},
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
            },
        }
    },
}
each_site = pytest.mark.parametrize("name", SITES)


@functools.cache
def found(name):
    return everything(target(**SITES[name]))


# Reading a schema takes most of the time of a validation.
utils.schema_contents = functools.cache(utils.schema_contents)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version):
    kinds = set()
    for name in SITES:
        for one in found(name):
            if one["kind"] in OF_OTHERS or version < SINCE.get(one["kind"], version):
                continue
            kubernetes_validate.validate(one, version, strict=True)
            kinds.add(one["kind"])
    # The schemas are there, and nothing was left out but what cannot be checked.
    assert {*KINDS} - kinds - OF_OTHERS == {k for k, v in SINCE.items() if version < v}


def test_the_newest_version_is_among_those_that_are_validated():
    assert kubernetes_validate.latest_version() in VERSIONS
    assert len(VERSIONS) >= 5


def violations(spec):
    """Yield what the PodSecurity level `restricted` refuses of a pod; the names are the API's."""
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield field
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    for volume in spec.get("volumes", []):
        yield from ({*volume} - {"name"}) - allowed
    context = spec.get("securityContext", {})
    if context.get("sysctls") or context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "sysctls or seccompProfile"
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        yield "runAsNonRoot"
    for container in spec["containers"] + spec.get("initContainers", []):
        own = container.get("securityContext", {})
        if own.get("privileged") or own.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation"
        if own.get("capabilities") != {"drop": ["ALL"]}:
            yield "capabilities"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield "hostPort"


@each_site
def test_every_pod_is_restricted(name):
    templates = pods(found(name))
    assert templates
    for owner, pod in templates:
        assert list(violations(pod["spec"])) == [], owner["metadata"]["name"]


def test_the_check_of_restricted_pods_finds_what_is_not():
    pod = pods(found("inside"))[0][1]["spec"]
    for change in (
        {"hostNetwork": True},
        {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]},
        {"securityContext": {"runAsNonRoot": True}},
        {"containers": [{"name": "x", "image": "x"}]},
    ):
        assert list(violations({**pod, **change})), change


@each_site
def test_every_pod_has_a_read_only_root_no_token_and_bounds(name):
    accounts = {o["metadata"]["name"]: o for o in found(name) if o["kind"] == "ServiceAccount"}
    for owner, pod in pods(found(name)):
        spec = pod["spec"]
        (container,) = spec["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]["cpu"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert accounts[spec["serviceAccountName"]]["automountServiceAccountToken"] is False
        assert owner["metadata"]["labels"]["app.kubernetes.io/name"] == container["name"]


@each_site
def test_the_namespace_takes_no_other_pods(name):
    labels = by_kind(found(name))["Namespace"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_namespace_that_administrators_make_is_none_of_the_objects():
    kinds = [one["kind"] for one in everything(target(said={"has_namespace": True}))]
    assert "Namespace" not in kinds and kinds.count("NetworkPolicy") == len(DEFINITIONS) + 1


@each_site
def test_objects_are_named_once_and_belong_to_somebody(name):
    names = [(one["kind"], one["metadata"]["name"]) for one in found(name)]
    assert len(names) == len({*names})
    for one in found(name):
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "intranet.mcp"
        if one["kind"] != "Namespace":
            assert labels["intranet.mcp.owner"]
            assert one["metadata"]["namespace"] == "llm"


@each_site
def test_the_order_is_the_same_each_time(name):
    assert json.dumps(everything(target(**SITES[name]))) == json.dumps(found(name))


@each_site
def test_everything_that_a_pod_mounts_is_rendered_or_named_by_the_site(name):
    to = target(**SITES[name])
    there = {(one["kind"], one["metadata"]["name"]) for one in found(name)}
    there |= {("PersistentVolumeClaim", "redis-data"), ("PersistentVolumeClaim", "workspace")}
    for service in to.services:
        owner = OWNERS.get(service.name, service.name)
        for needed in objects.needed_secrets([definition(service.name)], owner, to):
            there.add(("Secret", needed["name"]))
    for owner, pod in pods(found(name)):
        templates = owner["spec"].get("volumeClaimTemplates", [])
        volumes = {v["name"] for v in pod["spec"].get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in templates}
        mounts = pod["spec"]["containers"][0].get("volumeMounts", [])
        assert {mount["name"] for mount in mounts} == volumes
        assert len({mount["mountPath"] for mount in mounts}) == len(mounts)
        assert set(referenced(pod["spec"])) <= there


def referenced(spec):
    """Yield kind and name of every object that a pod needs."""
    for volume in spec.get("volumes", []):
        for source in volume.get("projected", {}).get("sources", [volume]):
            if "configMap" in source:
                yield "ConfigMap", source["configMap"]["name"]
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for variable in spec["containers"][0].get("env", []):
        if "secretKeyRef" in variable.get("valueFrom", {}):
            yield "Secret", variable["valueFrom"]["secretKeyRef"]["name"]


READING = [name for name, said in DEFINITIONS.items() if said.get("files")]
FOLLOWED = {name: said["reload"] for name, said in DEFINITIONS.items() if said.get("reload")}


def template_of(name, **changes):
    found = rendered(name, target(), **changes)
    return (found.get("Deployment") or found["StatefulSet"])["spec"]["template"]


@pytest.mark.parametrize("name", [name for name in READING if name not in FOLLOWED])
def test_a_file_that_is_read_once_restarts_the_pods_when_it_changes(name):
    files = DEFINITIONS[name]["files"]
    before = template_of(name)
    assert before["metadata"]["annotations"][LABEL_HASH]
    for file in files:
        after = template_of(name, files={**files, file: files[file] + "# changed\n"})
        annotations = [pod["metadata"]["annotations"][LABEL_HASH] for pod in (before, after)]
        assert annotations[0] != annotations[1]
        assert [*referenced(before["spec"])] != [*referenced(after["spec"])]


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_file_that_the_program_follows_restarts_nothing(name):
    files = DEFINITIONS[name]["files"]
    for file in FOLLOWED[name]:
        after = {**files, file: files[file] + "# changed\n"}
        assert template_of(name, files=after) == template_of(name)


def test_what_is_read_once_never_changes_under_a_pod_of_before():
    for name in READING:
        for one in objects.of_owner([definition(name)], "x", target()):
            if one["kind"] == "ConfigMap":
                is_followed = {*one["data"]} <= {*FOLLOWED.get(name, [])}
                assert one.get("immutable", False) is not is_followed


def test_no_object_tells_a_secret_unless_the_site_wants_them():
    assert "not-told" not in json.dumps(found("inside"))
    told = found("secrets-and-authorities")
    assert {o["kind"] for o in told if "bm90LXRvbGQ" in json.dumps(o)} == {"Secret"}
    assert "not-told" not in json.dumps(told)


def test_a_secret_of_the_site_takes_the_place_of_ours():
    said = {"litellm": {"name": "from-vault", "keys": {"DATABASE_URL": "url"}, "revision": "7"}}
    to = target(said={"secrets": said}, with_secrets=True)
    found = rendered("litellm", to)
    # Prometheus has one of its own.
    assert found["Secret"]["metadata"]["name"] == "litellm-metrics"
    pod = found["Deployment"]["spec"]["template"]
    env = {v["name"]: v.get("valueFrom") for v in pod["spec"]["containers"][0]["env"]}
    assert env["DATABASE_URL"] == {"secretKeyRef": {"name": "from-vault", "key": "url"}}
    assert objects.needed_secrets([definition("litellm")], "litellm", to) == [
        {"service": "litellm", "name": "from-vault", "keys": ["LITELLM_MASTER_KEY", "url"]}
    ]
    said["litellm"]["revision"] = "8"
    other = rendered("litellm", target(said={"secrets": said}, with_secrets=True))
    annotations = other["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations != pod["metadata"]["annotations"]


def test_two_services_of_one_name_are_refused():
    to = target()
    services = to.topology.services
    services["tool_browser"] = dataclasses.replace(services["gateway"], name="tool_browser")
    with pytest.raises(KubernetesError, match="'tool-browser' and 'tool_browser' are both called"):
        objects.of_platform(to, ENTRY)
