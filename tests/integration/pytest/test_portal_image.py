# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The portal's image: it serves its pages without root, a writable file, or anybody beside it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from conftest import http_status, image, wait_until

pytestmark = pytest.mark.integration

CONFIGURATION = {
    "listen": {"public_url": "https://ai.example.internal", "host": "0.0.0.0"},
    "oidc": {
        "issuer": "https://sso.example.internal",
        "client_id": "intranet-mcp",
        "client_secret_file": "/config/secret",
        "teams": [{"group": "dev", "team": "payments"}],
    },
    "litellm": {"url": "http://litellm:4000", "key_file": "/config/secret", "routes": []},
    "gateway_url": "http://gateway:8080",
    "site_file": "/config/site.json",
}
SITE = {"litellm_url": "https://ai.example.internal", "gateway_url": "https://x/mcp"}


@pytest.fixture
def portal(docker, tmp_path):
    """The address of a portal that reaches nobody."""
    tmp_path.chmod(0o755)
    files = {"portal.yml": json.dumps(CONFIGURATION), "site.json": json.dumps(SITE), "secret": "s"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644)
    options = ("--read-only", f"--volume={tmp_path}:/config:ro", "--publish=127.0.0.1::8090")
    container = docker.start("portal", image("portal"), *options)
    url = f"http://{docker.address(container, 8090)}"
    wait_until(lambda: http_status(f"{url}/health") == 200, 30, f"the portal at {url}")
    yield url
    docker.run("rm", "-f", container)


def page(url, language):
    request = urllib.request.Request(url, headers={"Accept-Language": language})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_pages_are_there_and_say_who_is_away(portal):
    assert "https://sso.example.internal" in page(f"{portal}/portal/", "en")[1]
    assert "登录" in page(f"{portal}/portal/", "zh-CN")[1]
    assert http_status(f"{portal}/portal/static/style.css") == 200
    status, text = page(f"{portal}/portal/sign-in", "en")
    assert status == 503 and "https://sso.example.internal does not answer" in text
    status, checks = page(f"{portal}/checks", "en")
    assert status == 200 and json.loads(checks).keys() == {
        "status",
        "provider",
        "litellm",
        "gateway",
        "problems",
    }
