# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
import yaml
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import site
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import KubernetesError
from clusters import SITE, platform
from platforms import ROOT

KNOWN = list(platform().services)


def test_what_is_not_said_is_one_pod():
    found = site.read({"namespace": "llm"}, KNOWN)
    assert found.replicas_of("gateway") == found.most_of("gateway") == 1


def test_an_autoscaler_goes_on_from_the_replicas():
    found = site.read(SITE, KNOWN)
    assert (found.replicas_of("gateway"), found.most_of("gateway")) == (2, 6)
    assert (found.replicas_of("litellm"), found.most_of("litellm")) == (2, 2)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"replica": {}}, "kubernetes_replica is no variable"),
        ({"namespace": "LLM"}, "kubernetes_namespace is 'LLM'"),
        ({"dns": {"namspace": "x"}}, "kubernetes_dns has the key 'namspace'"),
        ({"dns": ["kube-system"]}, "kubernetes_dns is .*a mapping"),
        (
            {"volumes": {"redis": {"data": {"sise": "1Gi"}}}},
            "redis.data has the key 'sise'",
        ),
        ({"ingress": {"parent": {"nam": "x"}}}, "kubernetes_ingress.parent has the key 'nam'"),
        ({"ingress": {"kind": "nginx"}}, "kubernetes_ingress.kind is 'nginx'"),
        ({"ingress": {"controller": "nginx"}}, "kubernetes_ingress.controller is 'nginx'"),
        ({"metrics": {"kind": "yes"}}, "kubernetes_metrics.kind is 'yes'"),
        ({"replicas": {"gatway": 2}}, "kubernetes_replicas has the service 'gatway'"),
        ({"replicas": {"gateway": 0}}, "kubernetes_replicas.gateway is 0"),
        ({"replicas": {"gateway": True}}, "kubernetes_replicas.gateway is True"),
        (
            {"autoscaling": {"gateway": {"max": 1, "cpu_percent": 70}}},
            r"gateway\.max is 1, expected a number from kubernetes_replicas\.gateway \(2\) on",
        ),
        ({"autoscaling": {"gateway": {"max": 3}}}, "nothing to scale by"),
        ({"networks": {"pods": ["10.244.0.1/16"]}}, "networks.pods has '10.244.0.1/16'"),
        ({"ingress": {"networks": ["x"]}}, "kubernetes_ingress.networks has 'x'"),
        ({"secrets": {"gateway": {"nam": "x"}}}, "secrets.gateway has the key 'nam'"),
    ],
)
def test_a_wrong_word_is_named(said, message):
    with pytest.raises(KubernetesError, match=message):
        site.read({**SITE, **said}, KNOWN)


@pytest.mark.parametrize("value", ["20 GB", "-1", "", "2Gib"])
def test_an_amount_is_one_that_the_api_reads(value):
    with pytest.raises(KubernetesError, match="place is"):
        site.quantity("place", value)
    assert [site.quantity("x", v) for v in ("20Gi", "1.5", "500m", 2)] == [
        "20Gi",
        "1.5",
        "500m",
        "2",
    ]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("20Gi", 20 * 1024**3),
        ("1.5G", 1_500_000_000),
        ("512Mi", 512 * 1024**2),
        ("7k", 7000),
        (9, 9),
    ],
)
def test_an_amount_is_a_number_of_bytes(value, number):
    assert site.bytes_of("x", value) == number


def test_the_roles_variables_are_what_a_site_is_made_of():
    role = ROOT / "roles/kubernetes"
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    variables = yaml.safe_load((role / "vars/main.yml").read_text())
    given = variables["__kubernetes_without_secrets"]["site"]
    assert given == {name: f"{{{{ kubernetes_{name} }}}}" for name in given}
    others = ("render_dir", "render_secrets", "rendered", "kubeconfig", "context", "wait_seconds")
    others += ("forward_seconds", "forward_service", "forward_pod", "remove_data")
    of_playbooks = {f"kubernetes_{name}" for name in others}
    assert {f"kubernetes_{name}" for name in given} == {*defaults} - of_playbooks
    plain = {name: defaults[f"kubernetes_{name}"] for name in given}
    assert site.read(plain, [*KNOWN, "prometheus", "alertmanager"]).replicas_of("litellm") == 2
