"""The index page for people: what runs here, and how to connect to it."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Any

STYLE = """
:root{color-scheme:light dark;--edge:#8884;--dim:#777;--good:#18794e;--bad:#c62a2f}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:0}h2{font-size:1.15rem;margin-top:2rem}
.dim{color:var(--dim)}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--edge)}
td.n,th.n{text-align:right}.up{color:var(--good)}.down{color:var(--bad)}
pre{border:1px solid var(--edge);border-radius:6px;padding:.8rem;overflow-x:auto;font-size:.875rem}
details{margin:.5rem 0}summary{cursor:pointer;font-weight:600}
"""
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def render(about: dict[str, Any], base: str) -> str:
    """The page; `about` is what `/` tells in JSON."""
    rows = "".join(_row(name, server) for name, server in about["servers"].items())
    clients = _clients(base)
    drifted = "".join(f"<li><code>{escape(d)}</code></li>" for d in about["drifted_tools"])
    drift = f"<h2>Tools whose description changed</h2><ul>{drifted}</ul>" if drifted else ""
    versions = ", ".join(about["protocol_versions"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>MCP gateway</title><style>{STYLE}</style></head><body>
<h1>MCP gateway</h1>
<p class="dim">Version {escape(about["version"])}, {escape(about["status"])},
{about["tools"]} tools of {len(about["servers"])} servers. Speaks {escape(versions)}.</p>
<h2>Servers</h2>
<table><thead><tr><th>Server</th><th>State</th><th class="n">Tools</th><th class="n">Prompts</th>
<th class="n">Resources</th><th>Speaks</th><th>Endpoint</th></tr></thead>
<tbody>{rows}</tbody></table>
{drift}{_faults(about["servers"])}
<h2>Connect</h2>
<p>Every server at once: <code>{escape(base)}/mcp</code>. Put your key into the environment
variable <code>MCP_GW_KEY</code>.</p>
{clients}
</body></html>
"""


def render_public(base: str) -> str:
    """The page without a key: how to connect, and nothing of what runs here."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>MCP gateway</title><style>{STYLE}</style></head><body>
<h1>MCP gateway</h1>
<p class="dim">Its servers and tools are shown to whoever sends a key.</p>
<h2>Connect</h2>
<p>Every server at once: <code>{escape(base)}/mcp</code>. Put your key into the environment
variable <code>MCP_GW_KEY</code>.</p>
{_clients(base)}
</body></html>
"""


def _clients(base: str) -> str:
    return "".join(
        f"<details{' open' if i == 0 else ''}><summary>{escape(title)}</summary>"
        f"<p class=dim>{escape(where)}</p><pre>{escape(text)}</pre></details>"
        for i, (title, where, text) in enumerate(client_settings(base))
    )


def _row(name: str, server: dict[str, Any]) -> str:
    state = server["state"]
    note = f"<br><span class=dim>{escape(server['last_error'])}</span>" if state != "up" else ""
    return (
        f"<tr><td>{escape(name)}</td><td class={state}>{state}{note}</td>"
        f"<td class=n>{server['tools']}</td><td class=n>{server['prompts']}</td>"
        f"<td class=n>{server['resources']}</td><td>{escape(', '.join(server['eras']))}</td>"
        f"<td><code>{escape(server['endpoint'])}</code></td></tr>"
    )


def _faults(servers: dict[str, Any]) -> str:
    """What clients would have refused of the lists; their authors can mend it."""
    lines = [
        f"<li><code>{escape(server)}</code> {escape(fault['kind'])} "
        f"<code>{escape(fault['name'] or '*')}</code>: {escape(fault['problem'])}; "
        f"{escape(fault['outcome'])}</li>"
        for server, about in servers.items()
        for fault in about["faults"]
    ]
    return f"<h2>Faults in the servers' lists</h2><ul>{''.join(lines)}</ul>" if lines else ""


def client_settings(base: str) -> list[tuple[str, str, str]]:
    """(client, where to put it, text) for the clients that were tried with this gateway."""
    url = f"{base}/mcp"
    return [
        (
            "Claude Code",
            "~/.claude.json, .mcp.json or /etc/claude-code/managed-mcp.json",
            '{\n  "mcpServers": {\n    "gw": {\n      "type": "http",\n'
            f'      "url": "{url}",\n'
            '      "headers": {"Authorization": "Bearer ${MCP_GW_KEY}"}\n    }\n  }\n}',
        ),
        (
            "Codex",
            "~/.codex/config.toml",
            f'[mcp_servers.gw]\nurl = "{url}"\nbearer_token_env_var = "MCP_GW_KEY"',
        ),
        (
            "Gemini CLI",
            "~/.gemini/settings.json",
            '{\n  "mcpServers": {\n    "gw": {\n      "type": "http",\n'
            f'      "url": "{url}",\n'
            '      "headers": {"Authorization": "Bearer $MCP_GW_KEY"}\n    }\n  }\n}',
        ),
        (
            "Qwen Code",
            "~/.qwen/settings.json",
            f'{{\n  "mcpServers": {{\n    "gw": {{\n      "httpUrl": "{url}",\n'
            '      "headers": {"Authorization": "Bearer $MCP_GW_KEY"}\n    }\n  }\n}',
        ),
        (
            "opencode",
            "opencode.json",
            '{\n  "mcp": {\n    "gw": {\n      "type": "remote",\n'
            f'      "url": "{url}",\n      "oauth": false,\n'
            '      "headers": {"Authorization": "Bearer {env:MCP_GW_KEY}"}\n    }\n  }\n}',
        ),
    ]
