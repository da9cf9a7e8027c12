# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Real CLIs sign in at the gateway by themselves: no key, the company's provider, a browser.

They register at the provider, or at the portal in front of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import gateway_lab
import identity_provider
import pytest

HERE = Path(__file__).resolve().parent
SERVER = gateway_lab.GATEWAY / "tests/servers/plain_server.py"
TABLE = [{"group": "dev-payments", "team": "payments"}]
SITE = {"litellm_url": "", "gateway_url": ""}
PORTAL = gateway_lab.ROOT / "roles/portal/files/mcp_portal"


class SignedOn(NamedTuple):
    """A gateway that takes the provider's tokens alone."""

    url: str
    audit: Path
    environment: dict[str, str]

    def callers(self, seconds: float = 20) -> set[tuple[str, str]]:
        """Who was let in, and in which team; lines are written a moment later."""
        ends_at = time.monotonic() + seconds
        while True:
            lines = [json.loads(line) for line in self.audit.read_text().splitlines()]
            found = {(line["caller"], line["team"]) for line in lines if line["status"] == "ok"}
            if found or time.monotonic() > ends_at:
                return found
            time.sleep(0.1)  # a file tells nobody when it grows


@pytest.fixture(params=["provider", "portal"])
def signed_on(request, tmp_path, home):
    """The gateway, where clients register, and a home with a browser."""
    python = gateway_lab.python_environment("portal", PORTAL / "requirements.lock")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "xdg-open").write_text(f'#!/bin/sh\nexec {python} {HERE / "browser.py"} "$1"\n')
    (programs / "xdg-open").chmod(0o755)
    port, portal_port = gateway_lab.free_port(), gateway_lab.free_port()
    url, portal_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{portal_port}"
    environment = {
        "HOME": str(home),
        "CODEX_HOME": str(home / ".codex"),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "BROWSER": str(programs / "xdg-open"),
        "DISPLAY": ":0",
        "NAME": "alice",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    with (
        gateway_lab.Lab(tmp_path) as lab,
        identity_provider.identity_provider(
            tmp_path, [f"{portal_url}/portal/callback"]
        ) as provider,
    ):
        oidc = of_provider(url, provider.issuer)
        if request.param == "portal":
            file = tmp_path / "portal.yml"
            file.write_text(json.dumps(portal(tmp_path, portal_port, provider.issuer, url)))
            command = [python, "-m", "mcp_portal", "--config", file]
            lab.start("portal", command, portal_port, {"PYTHONPATH": str(PORTAL / "src")})
            oidc = of_portal(url, f"{portal_url}/portal")
        lab.gateway(configuration(url, port, oidc, tmp_path / "audit"))
        yield SignedOn(f"{url}/mcp", tmp_path / "audit", environment)


def of_provider(url, issuer):
    return {
        "issuer": issuer,
        "audience": [f"{url}/mcp"],
        "required_scopes": ["mcp"],
        "teams": TABLE,
    }


def of_portal(url, issuer):
    return {
        "issuer": issuer,
        "audience": [f"{url}/mcp"],
        "jwks": gateway_lab.get_json(f"{issuer}/oauth/keys")["keys"],
        "subjects_are_people": True,
    }


def portal(folder, port, issuer, gateway):
    """A portal's configuration; nobody makes keys here."""
    texts = {"client": identity_provider.CLIENT_SECRET, "key": "sk-none", "signing": "x" * 64}
    for name, text in {**texts, "site.json": json.dumps(SITE)}.items():
        (folder / name).write_text(text)
    return {
        "listen": {"public_url": f"http://127.0.0.1:{port}", "port": port},
        "oidc": {
            "issuer": issuer,
            "client_id": identity_provider.CLIENT_ID,
            "client_secret_file": str(folder / "client"),
            "teams": TABLE,
        },
        "litellm": {"url": gateway, "key_file": str(folder / "key"), "routes": []},
        "gateway_url": gateway,
        "site_file": str(folder / "site.json"),
        "authorization": {"key_file": str(folder / "signing"), "resources": [f"{gateway}/mcp"]},
    }


def configuration(url, port, oidc, audit):
    stdio = {"type": "stdio", "command": sys.executable, "args": ["-S", str(SERVER)]}
    return {
        "listen": {"port": port, "public_url": url},
        "auth": {"oidc": [oidc]},
        "audit": {"file": str(audit)},
        "upstreams": {"files": {**stdio, "required": True}},
    }


def run(signed_on, *command):
    done = subprocess.run(
        [str(part) for part in command],
        env=signed_on.environment,
        cwd=signed_on.environment["HOME"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("script"), reason="needs script (Debian: bsdutils)")
def test_claude_code_signs_in_and_connects(claude, signed_on):
    run(signed_on, claude, "mcp", "add", "--transport", "http", "gw", signed_on.url)
    assert "Needs authentication" in run(signed_on, claude, "mcp", "list")
    # It signs nobody in without a terminal.
    run(signed_on, "script", "-qec", f"{claude} mcp login gw", "/dev/null")
    assert "Connected" in run(signed_on, claude, "mcp", "list")
    assert signed_on.callers() == {("alice", "payments")}


def test_codex_signs_in(codex, signed_on):
    folder = Path(signed_on.environment["CODEX_HOME"])
    folder.mkdir()
    (folder / "config.toml").write_text(
        f'mcp_oauth_credentials_store = "file"\n[mcp_servers.gw]\nurl = "{signed_on.url}"\n'
    )
    run(signed_on, codex, "mcp", "login", "gw")
    assert "OAuth" in run(signed_on, codex, "mcp", "list")
    assert (folder / ".credentials.json").stat().st_mode & 0o077 == 0
