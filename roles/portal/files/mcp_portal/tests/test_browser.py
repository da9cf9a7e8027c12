"""Every page as Chromium shows it, on a phone and a desk, for people who have only a keyboard.

Pictures are left in .cache/pictures, for people to view.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta

import chromium
import gateway_lab
import identity_provider
import lab
import pytest
from mcp_portal import credentials
from mcp_portal.pages import MENU, PEOPLE

pytestmark = pytest.mark.skipif(not chromium.program(), reason=chromium.MISSING)

SECONDS = 500
LONG = "registry.example.internal/company/a-very-long-name-of-a-model-instruct-q4_K_M:70b"
SERVER = "a-server-with-as-long-a-name-as-"
SITE = {
    **lab.SITE,
    "models": [*lab.SITE["models"], {"name": LONG, "context": 131072, "capabilities": ["vision"]}],
    "servers": {**lab.SITE["servers"], SERVER: "What it is for, in one long sentence. " * 4},
    "personal": {SERVER: "https://tickets.example.internal"},
    "tools": {"files": {"offered": ["read_file", "x" * 64], "left_out": ["delete_file"]}},
    "open": {"payments": {"models": ["qwen3:8b"], "servers": {"files": ["*_file"]}}},
}
SINCE = "2026-01-01T08:30:00+00:00"
PARTS = [
    ("service", "address", "passed", None),
    ("service", "models", "partly", SINCE),
    ("service", "tools", "passed", None),
    ("service", "sign_in", "unknown", None),
    ("model", "qwen3:8b", "passed", None),
    ("model", LONG, "failed", SINCE),
    ("server", "files", "passed", None),
    ("server", SERVER, "failed", SINCE),
]


def report():
    at = datetime.now(UTC) - timedelta(days=3)
    return {
        "at": at.isoformat(),
        "count": 120,
        "parts": [
            {"kind": kind, "name": name, "state": state, "since": since}
            for kind, name, state, since in PARTS
        ],
        "checks": [
            {"name": f"llm {LONG} chat", "status": "failed", "found": "x" * 300, "action": "run it"}
        ],
    }  # fmt: skip


@pytest.fixture
def python():
    """A Python with Playwright."""
    try:
        lock = identity_provider.HERE / "browser.lock"
        return gateway_lab.python_environment("browser", lock)
    except gateway_lab.Unreachable as error:
        pytest.skip(f"needs Playwright from a package mirror: {error}")


@pytest.fixture
def portal(issuer, configure, tmp_path, monkeypatch):
    """A portal with everything that pages may show."""
    # It is a thread of this process, and machines may be busy.
    monkeypatch.setattr(credentials, "REDIS_SECONDS", 30)
    server = lab.Redis()
    (tmp_path / "records").write_text(server.url(3))
    (tmp_path / "records-key").write_text("a-key-for-credentials-of-the-tests-0123456789")
    (tmp_path / "status.json").write_text(json.dumps(report()))
    config = configure(
        issuer,
        status_file=str(tmp_path / "status.json"),
        administrator_groups=["dev-payments"],
        credentials={
            "key_file": str(tmp_path / "records-key"),
            "redis_url_file": str(tmp_path / "records"),
        },
    )
    (tmp_path / "site.json").write_text(json.dumps(SITE))
    with lab.running(config) as served:
        yield served
    server.stop()


def test_pages_fit_a_phone_and_need_neither_mouse_nor_script(portal, python, litellm):
    paths = [f"/portal/{name}" for name in (*MENU, PEOPLE, "device", "nothing")]
    pictures = gateway_lab.CACHE / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    program = {"client_id": "intranet-mcp"}
    begun = lab.httpx2.post(f"{portal.url}/portal/device/code", data=program, trust_env=False)
    task = {
        "chromium": chromium.program(),
        "portal": portal.url,
        "name": "alice",
        "pages": paths,
        "code": begun.json()["user_code"],
        "pictures": str(pictures),
    }
    done = subprocess.run(
        [python, identity_provider.HERE / "reader.py"],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert len(found["pages"]) == len(paths) * 4
    for page, told in found["pages"].items():
        assert told["status"] == (404 if "nothing" in page else 200), page
        assert not told["scrolls"] and not told["wide"], (page, told["wide"])
        assert not told.get("wrong"), (page, told)
    walked = {
        page: len(told["controls"]) for page, told in found["pages"].items() if "wrong" in told
    }
    assert len(walked) == len(paths) * 2 and min(walked.values()) >= 10, walked
    forms = found["forms"]
    assert forms["tools"] == ["write_file"]
    assert forms["key"] in litellm.keys
    assert forms["device"] == "The terminal is connected"
    assert forms["signed out"] == 1
