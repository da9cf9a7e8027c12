# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What LiteLLM is given of servers elsewhere, through ansible-playbook."""

from __future__ import annotations

import json
import sys
from urllib.parse import unquote, urlsplit

import pytest
import support
import yaml

ROLE = support.REPOSITORY / "roles" / "litellm"
# As an administrator of databases may choose them.
PASSWORD, USER = "p@s/s:w?r#d%4 1+&é", "lite@llm:1"
DATABASE, REDIS = "2001:db8::5", "2001:db8::6"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Return LiteLLM's configuration, and the URL of its database."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "ca.crt").write_text("PEM\n")
    host = {"here": {"ansible_connection": "local", "ansible_host": "127.0.0.1"}}
    groups = {"all": {"hosts": host, "children": {"litellm": {"hosts": host}}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(groups))
    ca = {"ca_file": str(folder / "ca.crt")}
    variables = {
        "ansible_python_interpreter": sys.executable,
        "platform_secrets": {"postgres_password": PASSWORD, "redis_password": PASSWORD},
        "platform_database": {
            **{"name": "lite/llm", "user": USER, "max_connections": 100, "host": DATABASE},
            **ca,
        },
        "platform_redis": {"host": REDIS, **ca},
    }
    config = f"lookup('ansible.builtin.template', '{ROLE}/templates/config.yaml.j2')"
    contents = f"{{{{ {{'config': {config}, 'url': __litellm_database_url}} | to_json }}}}"
    play = {
        "hosts": "litellm",
        "gather_facts": False,
        "vars_files": [str(ROLE / part / "main.yml") for part in ("defaults", "vars")],
        "roles": ["intranet.mcp.platform"],
        "tasks": [
            {
                "ansible.builtin.copy": {
                    "content": contents,
                    "dest": str(folder / "given"),
                    "mode": "0600",
                }
            }
        ],
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    done = support.run_playbook_alone(folder, "hosts.yml", "-e", json.dumps(variables))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((folder / "given").read_text())
    return yaml.safe_load(found["config"]), found["url"]


def test_a_redis_with_an_address_of_ipv6_is_a_host_and_no_list(given):
    config, _url = given
    assert config["router_settings"]["redis_host"] == REDIS
    redis = config["general_settings"]["coordination_redis"]
    assert (redis["host"], redis["port"]) == (REDIS, 6379)
    assert redis["ssl"] is True and config["router_settings"]["cache_kwargs"]["ssl"] is True


def test_user_password_and_database_may_have_any_character(given):
    _config, url = given
    read = urlsplit(url)
    assert url.count("@") == 1 and read.path.count("/") == 1
    assert (unquote(read.username), unquote(read.password)) == (USER, PASSWORD)
    assert (read.hostname, read.port, unquote(read.path)) == (DATABASE, 5432, "/lite/llm")
