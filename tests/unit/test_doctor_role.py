# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the doctor's report says of probes that could not run, through ansible-playbook."""

from __future__ import annotations

import json
import sys

import pytest
import support
import yaml

TASKS = support.REPOSITORY / "roles" / "doctor" / "tasks" / "examine.yml"
FAILURES = {
    "the module does not start": {"ansible_python_interpreter": "/no/python"},
    "its arguments cannot be computed": {"__platform_external_keys": "{{ lookup('file', '/no') }}"},
}


@pytest.mark.parametrize("failure", FAILURES)
def test_probes_of_servers_elsewhere_that_could_not_run_are_a_finding(tmp_path, failure):
    there = {"service": "redis", "host": "127.0.0.1", "port": 9, "ca": ""}
    variables = {
        "__platform_external": [there],
        "__platform_external_keys": {},
        "__doctor_examined": {"findings": [], "unseen": [], "facts": {}},
    }
    written = {
        "content": "{{ {'a': __doctor_examined} | intranet.mcp.doctor_report('now') | to_json }}",
        "dest": str(tmp_path / "report.json"),
        "mode": "0600",
    }
    (external,) = [task for task in yaml.safe_load(TASKS.read_text()) if "block" in task]
    play = {
        "hosts": "litellm",
        "gather_facts": False,
        "vars": variables,
        "tasks": [{**external, "vars": FAILURES[failure]}, {"ansible.builtin.copy": written}],
    }
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    groups = {"litellm": {"hosts": {"a": here}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": groups}}))
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    done = support.run_playbook_alone(tmp_path, "hosts.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "report.json").read_text())
    (finding,) = found["findings"]
    assert not found["healthy"] and finding["check"] == "external servers"
    assert "the probes could not run: " in finding["found"] and finding["action"]
