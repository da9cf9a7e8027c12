# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The CLIs' settings: complete, without a key where others may read, and the same everywhere."""

from __future__ import annotations

import ast
import json
import re
import tomllib

import jinja2
import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.clients.settings_install import rendered
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.plugin_utils.clients.settings import (
    CLIENTS,
    KEY_VARIABLE,
    SERVER,
    entries,
    wrappers,
)

ROLES = support.REPOSITORY / "roles"
MANIFEST = yaml.safe_load((ROLES / "platform/vars/main/clients.yml").read_text())["client_manifest"]
BASE = "http://192.0.2.10:8080"
SITE = {"litellm": "http://192.0.2.10:4000", "gateway": f"{BASE}/mcp", "manifest": MANIFEST}
KEY = "sk-the-key"
PERSON = {"model": "large", "models": ["large", "small"], "key": KEY}
NAMES = list(CLIENTS)


def by_path(scope, names=NAMES, person=PERSON):
    return {entry["path"]: entry for entry in entries(names, scope, SITE, person)}


@pytest.mark.parametrize("scope", ["user", "system", "home"])
def test_the_key_stands_in_secret_files_only(scope):
    person = {name: value for name, value in PERSON.items() if scope != "system" or name != "key"}
    for path, entry in by_path(scope, person=person).items():
        assert (KEY in rendered(entry)) == bool(entry.get("secret")), path


def test_paths_are_in_the_home_or_absolute():
    assert not [path for path in by_path("user") if path.startswith("/")]
    assert not [path for path in by_path("home") if path.startswith("/")]
    assert not [path for path in by_path("system") if not path.startswith("/")]


def test_only_the_wanted_clis_are_configured():
    assert set(by_path("user", ["codex"])) == {
        ".config/intranet-mcp/key",
        ".codex/config.toml",
        ".codex/.env",
    }


@pytest.mark.parametrize("names", [["cursor"], []])
def test_an_unknown_cli_is_one_clear_message(names):
    with pytest.raises(Unusable, match="expected some of claude, codex, gemini, qwen"):
        entries(names, "user", SITE, PERSON)


def test_nobody_calls_home():
    text = {path: rendered(entry) for path, entry in by_path("user").items()}
    claude = json.loads(text[".claude/settings.json"])["env"]
    for name in ("DISABLE_TELEMETRY", "DISABLE_AUTOUPDATER", "DISABLE_ERROR_REPORTING"):
        assert claude[name] == "1"
    codex = tomllib.loads(text[".codex/config.toml"])
    assert codex["check_for_update_on_startup"] is codex["analytics"]["enabled"] is False
    for path in (".gemini/settings.json", ".qwen/settings.json"):
        settings = json.loads(text[path])
        assert settings["privacy"]["usageStatisticsEnabled"] is False
        assert settings["general"]["enableAutoUpdate"] is False
        assert settings["telemetry"]["enabled"] is False
    assert json.loads(text[".config/opencode/opencode.json"])["autoupdate"] is False
    assert "OPENCODE_DISABLE_MODELS_FETCH=1" in text[".config/intranet-mcp/env.sh"]


def test_gemini_asks_for_a_model_under_its_name_without_a_colon():
    """LiteLLM answers 401 to /v1beta/models/qwen3:8b:generateContent, whatever the key."""
    found = by_path("user", person={**PERSON, "model": "qwen3:8b", "models": ["qwen3:8b"]})
    assert json.loads(rendered(found[".gemini/settings.json"]))["model"]["name"] == "qwen3-8b"
    assert json.loads(rendered(found[".qwen/settings.json"]))["model"]["name"] == "qwen3:8b"


def test_opencode_is_told_the_version_of_its_plugin_library():
    lock = json.loads(rendered(by_path("user")[".config/opencode/package-lock.json"]))
    wanted = lock["packages"][""]["dependencies"]["@opencode-ai/plugin"]
    assert wanted == MANIFEST["opencode"]["version"]


def test_claudes_files_are_json_to_the_letter():
    for scope in ("user", "system", "home"):
        found = by_path(scope, ["claude"])
        assert {e["format"] for e in found.values() if e["format"] != "text"} == {"json"}


def test_wrappers_start_what_npm_installed():
    found = {entry["path"]: entry["settings"] for entry in wrappers(NAMES, "/opt/x", SITE)}
    assert found["/usr/local/bin/codex"] == '#!/bin/sh\nexec /opt/x/node_modules/.bin/codex "$@"\n'
    assert "export OPENCODE_DISABLE_MODELS_FETCH=1\n" in found["/usr/local/bin/opencode"]


# --- an authority that machines do not know -------------------------------------------------------

PEM = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"
PRIVATE = {**SITE, "ca": PEM}
TRUST = ("NODE_EXTRA_CA_CERTS", "CODEX_CA_CERTIFICATE")


def private(scope, names=NAMES):
    return {entry["path"]: rendered(entry) for entry in entries(names, scope, PRIVATE, PERSON)}


def test_a_bundle_carries_the_authority_and_new_shells_trust_it():
    """Node reads its variable when it starts, so that it has to be there before."""
    found = private("user", ["codex"])
    assert found[".config/intranet-mcp/ca.crt"] == PEM
    for name in TRUST:
        line = f'export {name}="${{{name}:-$HOME/.config/intranet-mcp/ca.crt}}"\n'
        assert line in found[".config/intranet-mcp/env.sh"]
    assert ".config/intranet-mcp/env.sh" in found[".profile"]


def test_on_a_host_everybody_trusts_it():
    found = private("system")
    path = "/usr/local/lib/intranet-mcp/ca.crt"
    assert found[path] == PEM
    assert path in found["/etc/profile.d/intranet-mcp.sh"]
    managed = json.loads(found["/etc/claude-code/managed-settings.json"])["env"]
    assert managed["NODE_EXTRA_CA_CERTS"] == path
    for entry in wrappers(NAMES, "/opt/x", PRIVATE):
        assert all(f"export {name}=" in entry["settings"] for name in TRUST), entry["path"]


def test_no_program_loses_the_authorities_that_it_trusts():
    """SSL_CERT_FILE replaces them, also for what an agent starts."""
    for scope in ("user", "system", "home"):
        assert not [path for path, text in private(scope).items() if "SSL_CERT_FILE" in text]


def test_without_a_private_authority_there_is_none_to_trust():
    for scope in ("user", "system", "home"):
        text = "".join(rendered(entry) for entry in by_path(scope).values())
        assert not [name for name in TRUST if name in text]
    assert ".profile" not in by_path("user", ["codex"])


def test_people_are_sent_to_the_addresses_that_the_topology_names():
    """With scheme and port, whatever stands in front."""
    defaults = yaml.safe_load((ROLES / "clients/defaults/main.yml").read_text())
    for name, service in (("clients_litellm_url", "litellm"), ("clients_gateway_url", "gateway")):
        lookup = f"lookup('intranet.mcp.endpoint', '{service}', client='user', url=true)"
        assert lookup in defaults[name]


@pytest.mark.parametrize("public", ["https://host.example/tools", "https://host.example/tools/"])
def test_people_are_sent_to_the_gateways_public_address_where_it_has_one(public):
    """Its path included, for a company's proxy that shows the gateway under one."""
    defaults = yaml.safe_load((ROLES / "clients/defaults/main.yml").read_text())
    environment = jinja2.Environment()
    environment.filters["regex_replace"] = lambda text, found, by: re.sub(found, by, text)
    environment.globals["lookup"] = lambda *names, **options: "http://gw:8080"
    url = environment.from_string(defaults["clients_gateway_url"])
    assert url.render(gateway_public_url=public) == "https://host.example/tools/mcp"
    assert url.render(gateway_public_url="") == url.render() == "http://gw:8080/mcp"


# --- facts that stand elsewhere too ---------------------------------------------------------------


def shown_by_the_gateway():
    """Return what the gateway's page shows, by CLI, without the gateway's own dependencies."""
    source = (ROLES / "gateway/files/mcp_gateway/src/mcp_gateway/page.py").read_text()
    [function] = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "client_settings"
    ]
    function.returns = None
    space = {}
    exec(compile(ast.Module([function], []), "page.py", "exec"), space)  # our own code
    return {title: (where, text) for title, where, text in space["client_settings"](BASE)}


@pytest.mark.parametrize(
    ("title", "path", "table"),
    [
        ("Claude Code", ".claude.json", "mcpServers"),
        ("Codex", ".codex/config.toml", "mcp_servers"),
        ("Gemini CLI", ".gemini/settings.json", "mcpServers"),
        ("Qwen Code", ".qwen/settings.json", "mcpServers"),
        ("opencode", ".config/opencode/opencode.json", "mcp"),
    ],
)
def test_the_gateways_page_shows_the_same_server(title, path, table):
    where, text = shown_by_the_gateway()[title]
    assert path.rpartition("/")[2] in where
    parse = tomllib.loads if path.endswith(".toml") else json.loads
    shown = parse(text)[table][SERVER]
    assert KEY_VARIABLE in json.dumps(shown)
    ours = by_path("user")[path]["settings"][table][SERVER]
    # On the page the key comes from the environment, in a bundle from a file.
    shown.pop("headers", None)
    assert shown == {name: ours[name] for name in shown}


def test_the_page_knows_the_same_clis():
    assert set(shown_by_the_gateway()) == {client["title"] for client in MANIFEST.values()}
    assert set(MANIFEST) == set(CLIENTS)


def test_npm_installs_the_versions_of_the_manifest():
    wanted = {client["package"]: client["version"] for client in MANIFEST.values()}
    npm = ROLES / "clients/files/npm"
    package = json.loads((npm / "package.json").read_text())
    lock = json.loads((npm / "package-lock.json").read_text())["packages"]
    assert package["dependencies"] == wanted
    locked = {name: lock[f"node_modules/{name}"]["version"] for name in wanted}
    assert locked == wanted
    # Platforms whose packages the mirror at hand did not have are pinned by version alone.
    loose = [item for path, item in lock.items() if path and not item.get("integrity")]
    assert all(item["optional"] and item["os"] and item["cpu"] for item in loose)
    assert not [
        i for i in loose if i["os"] == ["linux"] and i["cpu"] == ["x64"] and "libc" not in i
    ]


def test_the_clients_that_run_install_scripts_have_their_step():
    lock = json.loads((ROLES / "clients/files/npm/package-lock.json").read_text())["packages"]
    scripted = {
        p.partition("node_modules/")[2] for p, item in lock.items() if item.get("hasInstallScript")
    }
    prepared = {c["package"] for c in MANIFEST.values() if c.get("prepare")}
    ours = {client["package"] for client in MANIFEST.values()}
    assert scripted & ours == prepared


def test_the_installer_needs_no_new_python():
    """What a bundle carries must run where Python is 3.8: no newer syntax, no other modules."""
    library = sorted((support.REPOSITORY / "plugins/module_utils/clients").glob("settings_*.py"))
    library += sorted((ROLES / "clients/files/bundle/lib/client").glob("*.py"))
    shared = ("client_requests.py", "prompt_speed.py")
    library += [support.REPOSITORY / "plugins/module_utils/clients" / name for name in shared]
    library.append(ROLES / "portal/files/login/intranet_mcp.py")
    known = {
        "__future__",
        "argparse",
        "collections",
        "contextlib",
        "fcntl",
        "hashlib",
        "http",
        "json",
        "os",
        "re",
        "secrets",
        "shutil",
        "signal",
        "ssl",
        "stat",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "tomllib",
        "urllib",
        "webbrowser",
    }
    for path in library:
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            assert {re.split(r"\.", name)[0] for name in names} <= known, path


# --- how much a model reads and writes ------------------------------------------------------------

SIZES = [
    {"name": "large", "context": 65536, "max_output": 8192},
    {"name": "small", "context": 0, "max_output": 0},
]


def test_every_cli_is_told_the_context_of_its_model():
    found = {e["path"]: e for e in entries(NAMES, "user", {**SITE, "sizes": SIZES}, PERSON)}
    text = {path: rendered(entry) for path, entry in found.items()}
    claude = json.loads(text[".claude/settings.json"])["env"]
    assert claude["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "65536"
    assert claude["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "8192"
    assert tomllib.loads(text[".codex/config.toml"])["model_context_window"] == 65536
    gemini = json.loads(text[".gemini/settings.json"])["model"]["compressionThreshold"]
    assert gemini * 1048576 == pytest.approx(0.7 * 65536, rel=0.01)
    qwen = json.loads(text[".qwen/settings.json"])["model"]["generationConfig"]
    assert qwen == {"contextWindowSize": 65536, "samplingParams": {"max_tokens": 8192}}
    models = json.loads(text[".config/opencode/opencode.json"])["provider"]["litellm"]["models"]
    assert models["large"]["limit"] == {"context": 65536, "output": 8192}


def test_no_cli_is_told_a_context_that_nobody_knows():
    person = {**PERSON, "model": "small"}
    found = entries(NAMES, "user", {**SITE, "sizes": SIZES}, person)
    text = "".join(rendered(e) for e in found if "opencode" not in e["path"])
    for name in ("MAX_CONTEXT", "MAX_OUTPUT", "model_context_window", "Threshold", "generation"):
        assert name not in text


def test_claude_sends_no_line_that_differs_in_each_conversation():
    """It stands first, and defeats the prefix cache of a model server for all that follows."""
    claude = json.loads(rendered(by_path("user")[".claude/settings.json"]))["env"]
    assert claude["CLAUDE_CODE_ATTRIBUTION_HEADER"] == "0"
