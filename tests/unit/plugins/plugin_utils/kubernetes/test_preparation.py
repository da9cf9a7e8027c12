# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What ends well before pods of a new version start."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import KubernetesError
from clusters import rendered, target


def job(**changes):
    return rendered("litellm", target(), **changes)["Job"]


def test_it_is_the_services_program_with_another_command_and_nobodys_server():
    found = rendered("litellm", target())
    spec, served = found["Job"]["spec"], found["Deployment"]["spec"]["template"]["spec"]
    pod = spec["template"]["spec"]
    (once,), (server,) = pod["containers"], served["containers"]
    assert once["args"] == ["sh", "/config/start.sh", "true"]
    for key in ("image", "env", "resources", "securityContext", "volumeMounts"):
        assert once[key] == server[key]
    assert not {"ports", "readinessProbe", "livenessProbe", "lifecycle"} & {*once}
    assert pod["restartPolicy"] == "Never" and pod["securityContext"] == served["securityContext"]
    assert spec["activeDeadlineSeconds"] == 900


def test_it_may_connect_to_what_its_service_may_and_gets_no_requests():
    found = rendered("litellm", target())
    labels = found["Job"]["spec"]["template"]["metadata"]["labels"]
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    for selector in (
        found["Service"]["spec"]["selector"],
        found["Deployment"]["spec"]["selector"]["matchLabels"],
        found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert not selector.items() <= labels.items()


def test_another_version_has_a_job_of_its_own_and_the_same_one_has_not():
    name = job()["metadata"]["name"]
    assert job()["metadata"]["name"] == name
    assert job(image="litellm:new")["metadata"]["name"] != name
    assert job(files={"config.yaml": "new"})["metadata"]["name"] != name
    assert job(stop_seconds=99)["metadata"]["name"] != name


def test_a_pod_that_prepares_would_have_no_claim():
    with pytest.raises(KubernetesError, match="prepare, and claims"):
        rendered("postgres", target(), prepare={"command": ["true"]})
