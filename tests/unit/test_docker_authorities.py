# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The docker role's authorities of registries, through ansible-playbook in an own folder."""

from __future__ import annotations

import json
import sys

import pytest
import support
import yaml

TASKS = {"name": "intranet.mcp.docker", "tasks_from": "authorities"}
NAME = "intranet-mcp.crt"


@pytest.fixture
def trust(tmp_path):
    """Run the tasks for these registries; returns the files there are, and what was printed."""
    (tmp_path / "ca.pem").write_text("PEM\n")
    (tmp_path / "docker").mkdir()
    inspect = {
        "intranet.mcp.docker_engine_info": {"authorities": f"{tmp_path}/docker/certs.d/*/{NAME}"},
        "register": "__docker_engine",
    }
    tasks = [inspect, {"include_role": TASKS}]
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))

    def run(*registries):
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "__docker_certificates": str(tmp_path / "docker/certs.d"),
            "docker_registry_ca": dict.fromkeys(registries, str(tmp_path / "ca.pem")),
        }
        done = support.run_playbook_alone(tmp_path, "localhost,", "-e", json.dumps(variables))
        assert done.returncode == 0, done.stdout
        certificates = tmp_path / "docker/certs.d"
        found = {str(path.relative_to(certificates)) for path in certificates.rglob("*.crt")}
        return found, done.stdout + done.stderr

    return run


def test_an_authority_that_was_taken_out_is_trusted_no_more_and_a_sites_own_is(trust, tmp_path):
    one, two = f"harbor.example:5000/{NAME}", f"other.example/{NAME}"
    assert trust("harbor.example:5000", "other.example")[0] == {one, two}
    own = tmp_path / "docker/certs.d/other.example/ca.crt"
    own.write_text("the site's")
    assert trust("harbor.example:5000")[0] == {one, "other.example/ca.crt"}
    again, output = trust("harbor.example:5000")
    assert again == {one, "other.example/ca.crt"}
    assert "changed=0" in output
    assert "WARNING" not in output.partition("PLAY [")[2]
    assert trust()[0] == {"other.example/ca.crt"}
