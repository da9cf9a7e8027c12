# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Real CLIs speak TLS with a balancer whose certificate the platform's own authority signed.

Claude Code and opencode check certificates with BoringSSL, which is stricter than OpenSSL: what
curl and Python accept proves nothing of them.
"""

from __future__ import annotations

import json
import os
import subprocess

import own_authority
import pytest
import support

HELLO = "Say hello."
COMMANDS = {
    "claude": ["claude", "-p", HELLO, "--model", "m"],
    "opencode": ["opencode", "run", "--title", "t", HELLO],
}


def opencode(url):
    """Settings of opencode for a model there."""
    options = {"baseURL": f"{url}/v1", "apiKey": "sk-none"}
    provider = {"npm": "@ai-sdk/openai-compatible", "options": options, "models": {"m": {}}}
    return json.dumps({"provider": {"p": provider}, "model": "p/m", "autoupdate": False})


@pytest.fixture(scope="module", params=["by name", "by address"])
def balancer(request, tmp_path_factory):
    """What answers 404 to everything with the role's certificate, and the file to trust."""
    site = own_authority.Site(tmp_path_factory.mktemp("tls"))
    name = "localhost" if request.param == "by name" else ""
    status, said = site.run(network="127.0.0.", first=1, platform_public_name=name)
    assert status == 0, said[-3000:]
    service = support.FakeService()
    service.use_tls(site.tls / "balancer.crt", site.tls / "balancer.key")
    if name:
        service.url = service.url.replace("127.0.0.1", name)
    yield service, site.tls / "ca.crt"
    service.close()


@pytest.mark.parametrize("cli", COMMANDS)
def test_a_cli_accepts_the_platforms_own_certificate(balancer, cli_modules, home, cli):
    service, authority = balancer
    service.exchanges.clear()
    environment = {
        "PATH": f"{cli_modules / '.bin'}:{os.environ['PATH']}",
        "HOME": str(home),
        "NODE_EXTRA_CA_CERTS": str(authority),
        "ANTHROPIC_BASE_URL": service.url,
        "ANTHROPIC_AUTH_TOKEN": "sk-none",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "OPENCODE_CONFIG_CONTENT": opencode(service.url),
    }
    done = subprocess.run(
        COMMANDS[cli],
        env=environment,
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "onstraint" not in said, said
    assert any(asked.method == "POST" for asked in service.exchanges), said
