# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What LiteLLM is given of other sites, and who may ask it, through ansible-playbook."""

from __future__ import annotations

import json
import sys

import pytest
import support
import yaml

ROLES = support.REPOSITORY / "roles"
NORTH = {"name": "north", "url": "https://north.example.internal"}
EAST = {"name": "east", "url": "https://east.example.internal", "key": "sk-east", "models": ["l"]}
VARIABLES = {
    "ansible_python_interpreter": sys.executable,
    "platform_secrets": {
        **{"postgres_password": "p", "redis_password": "r", "key-other-sites": "sk-all"},
        **{"litellm_master_key": "sk-m", "litellm_salt_key": "sk-s"},
    },
    "ollama_models": [{"name": "coder:1"}],
    "litellm_custom_apis": [{"model_name": "l", "model": "l", "api_base": "https://l/v1"}],
}
# What is looked at: of the role's, of what the role teams makes keys of, of what verify asks.
LOOKED_AT = {
    "config": "lookup('ansible.builtin.template', '{}/litellm/templates/config.yaml.j2')",
    "files": "__litellm_files | list",
    "environment": "__litellm_secret_env",
    "keys": "__teams_own_keys",
    "external": "__platform_external",
    "external_keys": "__platform_external_keys",
    "watched": "__platform_https_urls",
}


def given(folder, **variables):
    host = {"here": {"ansible_connection": "local", "ansible_host": "127.0.0.1"}}
    children = {group: {"hosts": host} for group in ("litellm", "ollama", "postgres", "redis")}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": children}}))
    wanted = ", ".join(f"'{k}': {v.replace('{}', str(ROLES))}" for k, v in LOOKED_AT.items())
    parts = [("litellm", "defaults"), ("litellm", "vars"), ("teams", "defaults"), ("teams", "vars")]
    content = {"content": f"{{{{ {{{wanted}}} | to_json }}}}", "mode": "0600"}
    play = {
        "hosts": "litellm",
        "gather_facts": False,
        "vars_files": [str(ROLES / role / part / "main.yml") for role, part in parts],
        "roles": ["intranet.mcp.platform"],
        "tasks": [{"ansible.builtin.copy": {**content, "dest": str(folder / "given")}}],
    }
    # What a role has is looked for beside a play.
    for part in ("files", "templates"):
        (folder / part).symlink_to(ROLES / "litellm" / part)
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    done = support.run_playbook_alone(folder, "hosts.yml", "-e", json.dumps(VARIABLES | variables))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((folder / "given").read_text())
    return {**found, "config": yaml.safe_load(found["config"])}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return given(tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return given(tmp_path_factory.mktemp("site"), litellm_sites=[NORTH, EAST])


def test_a_site_alone_has_nothing_of_others(alone):
    assert "other_sites.py" not in alone["files"]
    assert "other_sites" not in str(alone["config"]) and "order" not in str(alone["config"])
    assert not [name for name in alone["environment"] if name.startswith("SITE_KEY")]
    assert {key["key_alias"] for key in alone["keys"]} == {"verify"}
    assert alone["external"] == []


def test_this_sites_deployments_come_first_and_others_after_them(site):
    listed = [
        (one["model_name"], one["litellm_params"]["order"], one["litellm_params"]["api_base"])
        for one in site["config"]["model_list"]
    ]
    assert listed == [
        ("coder:1", 1, "http://intranet-ollama:11434"),
        ("l", 1, "https://l/v1"),
        ("coder:1", 2, "https://north.example.internal/v1"),
        ("l", 2, "https://north.example.internal/v1"),
        ("l", 2, "https://east.example.internal/v1"),
    ]


def test_the_callback_that_chooses_the_site_is_asked_before_the_one_that_keeps_conversations(site):
    callbacks = site["config"]["litellm_settings"]["callbacks"]
    assert callbacks.index("other_sites.handler") < callbacks.index("prefix_affinity.handler")
    assert "other_sites.py" in site["files"]


def test_keys_for_other_sites_are_in_the_environment_and_nowhere_else(site):
    keys = {name: site["environment"][name] for name in ("SITE_KEY_1", "SITE_KEY_2")}
    assert keys == {"SITE_KEY_1": "sk-all", "SITE_KEY_2": "sk-east"}
    assert "sk-all" not in str(site["config"]) and "sk-east" not in str(site["config"])


def test_other_sites_come_with_a_key_for_models_alone_whose_requests_are_not_sent_on(site):
    (key,) = [key for key in site["keys"] if key["key_alias"] == "other-sites"]
    assert key["metadata"] == {"disable_fallbacks": True}
    assert key["allowed_routes"] == ["/v1/chat/completions", "/v1/embeddings", "/v1/models"]


def test_verify_is_answered_by_this_sites_servers_alone(site, alone):
    noted = [
        key["metadata"]["disable_fallbacks"]
        for told in (site, alone)
        for key in told["keys"]
        if key["key_alias"] == "verify"
    ]
    assert noted == [True, None], "a null takes the note away"


def test_verify_doctor_and_the_monitoring_know_the_sites(site):
    asked = {one["site"]: one["models"] for one in site["external"]}
    assert asked == {"north": ["coder:1", "l"], "east": ["l"]}
    assert site["external_keys"]["site-north"] == "sk-all"
    assert {NORTH["url"], EAST["url"]} <= {*site["watched"]}


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_key_that_makes_keys_stays_at_its_site(language):
    """Who has the portal of one site would make keys for anybody at the other."""
    guide = (support.REPOSITORY / "docs" / language / "sites.md").read_text()
    (command,) = [line for line in guide.splitlines() if line.startswith("# rsync")]
    assert "--exclude key-intranet-portal --include 'key-*' --exclude '*'" in command
