# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What each CLI must be told, once: for bundles on laptops and for managed settings on hosts. Pure.

A setting goes where the CLI reads it without help from a shell, so that editors' extensions find it
too. The key stands in files of mode 0600 only; settings that others may read point at them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ansible_collections.intranet.mcp.plugins.module_utils.clients.client_requests import (
    gemini_name,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable

SERVER = "gw"  # the name tools carry in each CLI, as in mcp__gw__filesystem__read_file
KEY_VARIABLE = "MCP_GW_KEY"
HOME_DIR = ".config/intranet-mcp"
KEY_FILE = f"{HOME_DIR}/key"
SYSTEM_DIR = "/usr/local/lib/intranet-mcp"
# Where people sign in, and the program that takes keys there.
PORTAL_FILE = f"{HOME_DIR}/portal"
LOGIN_FILE = ".local/bin/intranet-mcp"
# The authority that signed the platform's certificate, where no machine knows it by itself.
CA_FILE = f"{HOME_DIR}/ca.crt"
SYSTEM_CA_FILE = f"{SYSTEM_DIR}/ca.crt"

# Claude Code runs it for each connection; the key is in no argument list.
HEADERS_SCRIPT = f"""#!/bin/sh
# Prints what Claude Code sends to the MCP gateway.
read -r key <"$HOME/{KEY_FILE}" && printf '{{"Authorization": "Bearer %s"}}\\n' "$key"
"""
RENEWING_HEADERS_SCRIPT = HEADERS_SCRIPT.replace(
    f'read -r key <"$HOME/{KEY_FILE}"', f'key=$("$HOME/{LOGIN_FILE}" key)'
)
# Both add an authority to those that are trusted. SSL_CERT_FILE, which Codex reads as well, would
# replace them, for every program that an agent starts too.
CA_VARIABLES = ("NODE_EXTRA_CA_CERTS", "CODEX_CA_CERTIFICATE")
GEMINI_CONTEXT = 1048576  # what Gemini CLI takes every model for that it does not know
# opencode has no setting for these.
OPENCODE_ENVIRONMENT = {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"}


class Parts(NamedTuple):
    """Files of one CLI, path to entry.

    user: a person's home on a machine of their own. system: under /etc, on a host of several
    people. home: what is needed in each home beside the latter.
    """

    user: dict
    system: dict
    home: dict


def entries(names: list, scope: str, site: dict, person: dict) -> list[dict]:
    """Return what goes into which file, as `_settings_install` takes it.

    names: CLIs. scope: one of Parts' fields. site: `litellm` and `gateway` (addresses), `manifest`
    (of the CLIs), and perhaps `ca` (an authority to trust, PEM), `sizes` (of models, a list of
    `people.models.declared_models`) and `login` (the portal's address, and the program that takes
    keys there). person: `models`, `model`, and `key` but for the scope `system`.
    """
    facts = {**site, **person, "sizes": {m["name"]: m for m in site.get("sizes", [])}}
    found: dict[str, dict] = {}
    if scope != "system":
        found[KEY_FILE] = _text(facts["key"] + "\n", secret=True)
    for name in known(names):
        found.update(getattr(CLIENTS[name](facts), scope))
    if scope == "user":
        found.update(_environment(names, site.get("ca")))
        found.update(_login(site.get("login")))
    elif scope == "system" and site.get("ca"):
        exports = _exports(_trusting(SYSTEM_CA_FILE))
        found[SYSTEM_CA_FILE] = _text(site["ca"])
        found["/etc/profile.d/intranet-mcp.sh"] = _text(exports)
    return [{"path": path, **entry} for path, entry in found.items()]


def known(names: list) -> list:
    """Return the names, when all of them are CLIs that are known here."""
    unknown = sorted(set(names) - set(CLIENTS))
    if unknown or not names:
        raise Unusable(
            f"clients_names has {', '.join(unknown) or 'nothing'}, expected some of "
            f"{', '.join(CLIENTS)}: correct clients_names"
        )
    return names


def wrappers(names: list, install_dir: str, site: dict) -> list[dict]:
    """Return the scripts that start a host's CLIs, with the environment they have no file for."""
    found = []
    trust = _trusting(SYSTEM_CA_FILE) if site.get("ca") else {}
    for name in names:
        environment = {**trust, **(OPENCODE_ENVIRONMENT if name == "opencode" else {})}
        script = (
            f'#!/bin/sh\n{_exports(environment)}exec {install_dir}/node_modules/.bin/{name} "$@"\n'
        )
        found.append({"path": f"/usr/local/bin/{name}", **_text(script, "0755")})
    return found


def _sizes(facts: dict, model: str) -> tuple:
    """Tokens of a model's context and of its longest answer; 0 where nobody told."""
    found = facts["sizes"].get(model, {})
    return found.get("context", 0), found.get("max_output", 0)


def _given(**values: Any) -> dict:
    """Those that have a value."""
    return {name: value for name, value in values.items() if value}


def _json(settings: dict, *whole: tuple) -> dict:
    return {"format": "json", "settings": settings, "whole": [list(path) for path in whole]}


def _jsonc(settings: dict, *whole: tuple) -> dict:
    """For readers that accept comments."""
    return {**_json(settings, *whole), "format": "jsonc"}


def _text(text: str, mode: str = "0644", secret: bool = False) -> dict:
    mode = "0600" if secret else mode
    return {"format": "text", "settings": text, "mode": mode, "secret": secret}


def _secret_env(values: dict) -> dict:
    return {"format": "env", "settings": values, "mode": "0600", "secret": True}


def _trusting(path: str) -> dict:
    """The variables that make every CLI trust an authority. What a person has set already stays."""
    return {name: f'"${{{name}:-{path}}}"' for name in CA_VARIABLES}


def _exports(environment: dict) -> str:
    return "".join(f"export {name}={value}\n" for name, value in environment.items())


def _environment(names: list, ca: str | None) -> dict:
    """What has to be in a shell's environment, because a CLI has no file for it. No secret."""
    environment = {
        **(_trusting(f"$HOME/{CA_FILE}") if ca else {}),
        **(OPENCODE_ENVIRONMENT if "opencode" in names else {}),
    }
    if not environment:
        return {}
    lines = _exports(environment)
    file = f'"$HOME/{HOME_DIR}/env.sh"'
    entry = {"format": "line", "settings": [f"[ ! -r {file} ] || . {file}"]}
    others = {
        path: {**entry, "when_exists": True} for path in (".bashrc", ".bash_profile", ".zshrc")
    }
    trusted = {CA_FILE: _text(ca)} if ca else {}
    return {**trusted, f"{HOME_DIR}/env.sh": _text(lines), ".profile": entry, **others}


def _login(login: dict | None) -> dict:
    """The program with which a person takes keys at the portal, and where that is."""
    if not login:
        return {}
    return {PORTAL_FILE: _text(login["portal"] + "\n"), LOGIN_FILE: _text(login["program"], "0755")}


def _claude_environment(facts: dict) -> dict:
    context, max_output = _sizes(facts, facts["model"])
    return {
        "ANTHROPIC_BASE_URL": facts["litellm"],
        "ANTHROPIC_MODEL": facts["model"],
        "ANTHROPIC_SMALL_FAST_MODEL": facts["model"],
        "ENABLE_TOOL_SEARCH": "false",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        # Its prompt would begin with a line that differs in each conversation, and a model server
        # reads anew whatever follows the first difference.
        "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
        # A model it does not know is taken for one of a million tokens.
        **_given(
            CLAUDE_CODE_MAX_CONTEXT_TOKENS=context and str(context),
            CLAUDE_CODE_MAX_OUTPUT_TOKENS=max_output and str(max_output),
        ),
    }


def _claude(facts: dict) -> Parts:
    settings = {
        "apiKeyHelper": f"~/{LOGIN_FILE} key" if facts.get("login") else f"cat ~/{KEY_FILE}",
        "env": _claude_environment(facts),
        "permissions": {"allow": [f"mcp__{SERVER}__*"]},
    }
    # The first start would look for the vendor's servers and ask for a login there.
    started = {"hasCompletedOnboarding": True}

    def servers(script: str) -> dict:
        server = {"type": "http", "url": facts["gateway"], "headersHelper": f"sh {script}"}
        return {"mcpServers": {SERVER: server}}

    # Read by editors' extensions too. In a home the path has no name that all people share.
    trust = {"NODE_EXTRA_CA_CERTS": SYSTEM_CA_FILE} if facts.get("ca") else {}
    managed = {**settings["env"], **trust}
    script = f"{HOME_DIR}/claude-headers"
    whole = ("mcpServers", SERVER)
    return Parts(
        user={
            ".claude/settings.json": _json(settings),
            ".claude.json": _json({**servers(f"~/{script}"), **started}, whole),
            script: _text(
                RENEWING_HEADERS_SCRIPT if facts.get("login") else HEADERS_SCRIPT, "0755"
            ),
        },
        system={
            "/etc/claude-code/managed-settings.json": _json({**settings, "env": managed}),
            "/etc/claude-code/managed-mcp.json": _json(
                servers(f"{SYSTEM_DIR}/claude-headers"), whole
            ),
            f"{SYSTEM_DIR}/claude-headers": _text(HEADERS_SCRIPT, "0755"),
        },
        home={".claude.json": _json(started)},
    )


def _codex(facts: dict) -> Parts:
    provider = {
        "name": "LiteLLM",
        "base_url": facts["litellm"] + "/v1",
        "env_key": KEY_VARIABLE,
        "wire_api": "responses",
    }
    server = {
        "url": facts["gateway"],
        "bearer_token_env_var": KEY_VARIABLE,
        "default_tools_approval_mode": "approve",
        "required": True,
    }
    settings = {
        "model": facts["model"],
        "model_provider": "litellm",
        **_given(model_context_window=_sizes(facts, facts["model"])[0]),
        "check_for_update_on_startup": False,
        "analytics": {"enabled": False},
        "feedback": {"enabled": False},
        "features": {"plugins": False, "apps": False},
        "model_providers": {"litellm": provider},
        "mcp_servers": {SERVER: server},
    }
    entry = {"format": "toml", "settings": settings}
    home = {".codex/.env": _secret_env({KEY_VARIABLE: facts.get("key")})}
    return Parts({".codex/config.toml": entry, **home}, {"/etc/codex/config.toml": entry}, home)


def _gemini(facts: dict) -> Parts:
    server = {
        "type": "http",
        "url": facts["gateway"],
        "headers": {"Authorization": f"Bearer ${KEY_VARIABLE}"},
        "trust": True,
    }
    settings = {
        "mcpServers": {SERVER: server},
        # LiteLLM refuses a name with a colon in Google's paths; its role gives a second one.
        "model": {
            "name": gemini_name(facts["model"]),
            **_given(compressionThreshold=_gemini_threshold(_sizes(facts, facts["model"])[0])),
        },
        "security": {
            "auth": {"selectedType": "gemini-api-key"},
            "folderTrust": {"enabled": False},
            # A header may name a variable of .env only when the variable is allowed by name.
            "environmentVariableRedaction": {"allowed": [KEY_VARIABLE]},
        },
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
        # A project's own .env would hide the one in the home, which holds the key.
        "advanced": {"ignoreLocalEnv": True},
    }
    entry = _jsonc(settings, ("mcpServers", SERVER))
    key = facts.get("key")
    values = {"GEMINI_API_KEY": key, KEY_VARIABLE: key, "GOOGLE_GEMINI_BASE_URL": facts["litellm"]}
    home = {".gemini/.env": _secret_env(values)}
    system = {"/etc/gemini-cli/settings.json": entry}
    return Parts({".gemini/settings.json": entry, **home}, system, home)


def _gemini_threshold(context: int) -> float:
    """Where it sums a conversation up, in parts of the million tokens that it takes each model for.

    At 70 % of the real context there is room left for an answer and for what a tool returns.
    """
    return round(context * 0.7 / GEMINI_CONTEXT, 5)


def _qwen(facts: dict) -> Parts:
    context, max_output = _sizes(facts, facts["model"])
    sizes = _given(
        contextWindowSize=context,
        samplingParams=_given(max_tokens=max_output),
    )
    server = {
        "httpUrl": facts["gateway"],
        "headers": {"Authorization": f"Bearer ${KEY_VARIABLE}"},
        "trust": True,
    }
    settings = {
        "mcpServers": {SERVER: server},
        "model": {"name": facts["model"], **_given(generationConfig=sizes)},
        "security": {"auth": {"selectedType": "openai"}, "folderTrust": {"enabled": False}},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "general": {"enableAutoUpdate": False},
        "tools": {"toolSearch": {"enabled": False}},
    }
    entry = _jsonc(settings, ("mcpServers", SERVER))
    values = {
        "OPENAI_API_KEY": facts.get("key"),
        "OPENAI_BASE_URL": facts["litellm"] + "/v1",
        "OPENAI_MODEL": facts["model"],
        KEY_VARIABLE: facts.get("key"),
    }
    home = {".qwen/.env": _secret_env(values)}
    return Parts(
        {".qwen/settings.json": entry, **home}, {"/etc/qwen-code/settings.json": entry}, home
    )


def _opencode_model(facts: dict, name: str) -> dict:
    context, output = _sizes(facts, name)
    limit = {"context": context, "output": output} if context else None
    return {"name": name, **_given(limit=limit)}


def _opencode(facts: dict) -> Parts:
    key = f"{{file:~/{KEY_FILE}}}"
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "LiteLLM",
        "options": {"baseURL": facts["litellm"] + "/v1", "apiKey": key},
        "models": {name: _opencode_model(facts, name) for name in facts["models"]},
    }
    server = {
        "type": "remote",
        "url": facts["gateway"],
        "oauth": False,
        "headers": {"Authorization": f"Bearer {key}"},
    }
    settings = {
        "autoupdate": False,
        "share": "disabled",
        "model": f"litellm/{facts['model']}",
        "small_model": f"litellm/{facts['model']}",
        "provider": {"litellm": provider},
        "mcp": {SERVER: server},
    }
    entry = _jsonc(settings, ("mcp", SERVER), ("provider", "litellm"))
    # At each start opencode fetches its plugin library into this folder, unless it seems to be
    # there. Plugins of one's own then need `npm install` in it, from the site's mirror.
    plugin = {"@opencode-ai/plugin": facts["manifest"]["opencode"]["version"]}
    folder = ".config/opencode"
    home = {
        f"{folder}/package-lock.json": _json({"packages": {"": {"dependencies": plugin}}}),
        f"{folder}/node_modules/README.intranet-mcp": _text(
            "Here so that opencode does not fetch its plugin library at each start.\n"
        ),
    }
    system = {"/etc/opencode/opencode.json": entry}
    return Parts({f"{folder}/opencode.json": entry, **home}, system, home)


CLIENTS = {
    "claude": _claude,
    "codex": _codex,
    "gemini": _gemini,
    "qwen": _qwen,
    "opencode": _opencode,
}
