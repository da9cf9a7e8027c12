# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What verify leaves for the portal, through ansible-playbook."""

from __future__ import annotations

import json
import sys

import support
import yaml

ROLE = support.REPOSITORY / "roles/verify"
FAILED = {
    **{"group": "Tools", "name": "mcp git", "status": "failed", "found": "", "action": ""},
    "part": {"kind": "server", "name": "git"},
}
TIMES = ("2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00")


def test_verify_leaves_what_fails_and_since_when(tmp_path):
    report = {"checks": [FAILED]}
    include = {"ansible.builtin.include_tasks": str(ROLE / "tasks/status.yml")}
    play = {
        "hosts": "portal",
        "gather_facts": False,
        "vars_files": [str(ROLE / part / "main.yml") for part in ("defaults", "vars")],
        "roles": ["intranet.mcp.platform"],
        "tasks": [{**include, "vars": {"__verify_report": {**report, "at": at}}} for at in TIMES],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    host = {"here": {"ansible_connection": "local"}}
    groups = {"all": {"children": {"portal": {"hosts": host}}}}
    (inventory / "hosts.yml").write_text(yaml.safe_dump(groups))
    variables = {
        "ansible_python_interpreter": sys.executable,
        "platform_config_dir": str(tmp_path / "config"),
        "verify_models": [{"name": "qwen3"}, *[{"model_name": "company-large"}] * 2],
        "mcp_servers": {"git": {"url": "https://git.example.internal/mcp"}},
    }
    done = support.run_playbook_alone(tmp_path, inventory, "-e", json.dumps(variables))
    assert done.returncode == 0, done.stdout + done.stderr
    file = tmp_path / "config/portal-status/status.json"
    found = json.loads(file.read_text())
    assert found["at"] == TIMES[1] and file.stat().st_mode & 0o777 == 0o644
    states = {(p["kind"], p["name"]): (p["state"], p["since"]) for p in found["parts"]}
    assert states["server", "git"] == ("failed", TIMES[0]), "the first run that found it"
    assert states["model", "qwen3"] == ("unknown", None)
    names = [p["name"] for p in found["parts"] if p["kind"] == "model"]
    assert names == ["qwen3", "company-large"], "an API's model, once"
