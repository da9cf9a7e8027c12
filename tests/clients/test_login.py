# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""`intranet-mcp login` of a bundle: a key without copying one, renewed until the sign-in ends.

The portal, the provider and the terminal are real programs; LiteLLM is a stub that makes keys, and
answers Claude Code for those that live.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import urllib.request

import client_stubs
import gateway_lab
import identity_provider
import pytest
import support
import yaml

support.make_collection_importable()

from ansible_collections.intranet.mcp.plugins.filter.clients import bundle_texts  # noqa: E402
from ansible_collections.intranet.mcp.plugins.plugin_utils.clients import portal  # noqa: E402

ROLES = gateway_lab.ROOT / "roles"
PACKAGE = ROLES / "portal/files/mcp_portal"
PROGRAM = ROLES / "portal/files/login/intranet_mcp.py"
VISITOR = gateway_lab.ROOT / "tests/integration/pytest/servers/portal_visitor.py"
MANIFEST = yaml.safe_load((ROLES / "platform/vars/main/clients.yml").read_text())["client_manifest"]
PORTAL_KEY = "sk-the-portals-own"
# Where the settings have the key.
PLACES = (
    ".config/intranet-mcp/key", ".codex/.env", ".gemini/.env", ".qwen/.env",
    ".config/intranet-mcp/bundle/files/.codex/.env",
)  # fmt: skip


class Handler(client_stubs._Handler):
    """LiteLLM as far as the portal and Claude Code ask it."""

    def do_GET(self):
        if self.path.startswith(("/user/info", "/key/list")):
            self._send_json({"keys": []})
        else:
            super().do_GET()

    def do_POST(self):
        key = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.path == "/key/generate":
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made = f"sk-made-{next(self.stubs.ids)}"
            if "/v1/messages" in asked["allowed_routes"]:
                self.stubs.live.append(made)
            self._send_json({"key": made})
        elif self.path.startswith("/v1/messages") and key not in self.stubs.live:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._send_json({"error": {"message": "revoked"}}, 401)
        else:
            self.stubs.used.append((self.path.partition("?")[0], key))
            super().do_POST()


@pytest.fixture
def stubs():
    made = client_stubs.Stubs(client_stubs.Wanted("none", {}), "")
    made.server.RequestHandlerClass = type("H", (Handler,), {"stubs": made})
    made.live, made.used = [], []
    yield made
    made.close()


class Terminal:
    """A person's machine, and how they use the portal from a browser elsewhere."""

    def __init__(self, home, url, python):
        self.home, self.url, self.python = home, url, python
        self.program = home / ".local/bin/intranet-mcp"
        self.environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    def visit(self, *actions):
        command = [self.python, VISITOR, self.url, "alice", *actions]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def run(self, *command, **options):
        return subprocess.run(
            [str(part) for part in command], env=self.environment, capture_output=True, text=True,
            cwd=self.home, timeout=120, check=False, **options,
        )  # fmt: skip

    def install(self):
        """Run the one line."""
        line = self.visit("line")["line"]["text"].partition("curl -fsS ")[2].partition(" | sh")[0]
        with urllib.request.urlopen(line, timeout=30) as response:
            script = response.read().decode()
        done = self.run("sh", input=script)
        assert done.returncode == 0, done.stdout + done.stderr

    def login(self):
        """Start `intranet-mcp login`, type its code at the portal, wait for its end."""
        with subprocess.Popen(
            [self.program, "login"], env=self.environment, stdout=subprocess.PIPE, text=True
        ) as started:
            told = "".join(itertools.islice(started.stdout, 2))
            code = told.split()[-1]
            assert "The terminal is connected" in self.visit(f"device={code}")["device"]["text"]
            rest = started.stdout.read()
        assert started.returncode == 0 and "Connected" in rest, told + rest

    def keys(self):
        """The keys in the settings, each once."""
        texts = [(self.home / path).read_text() for path in PLACES]
        return {part for text in texts for part in text.replace("=", " ").split() if "sk-" in part}

    @property
    def state(self):
        return self.home / ".config/intranet-mcp/login.json"

    def make_due(self):
        """Half of the key's time is over."""
        state = json.loads(self.state.read_text())
        self.state.write_text(json.dumps({**state, "due_at": 0}))


@pytest.fixture
def terminal(tmp_path, home, stubs):
    try:
        python = gateway_lab.python_environment("portal", PACKAGE / "requirements.lock")
        gateway_lab.node_packages("identity", identity_provider.HERE / "package-lock.json")
    except gateway_lab.Unreachable as error:
        pytest.skip(f"needs the portal's packages and oidc-provider from a mirror: {error}")
    port = gateway_lab.free_port()
    url = f"http://127.0.0.1:{port}"
    with (
        gateway_lab.Lab(tmp_path) as lab,
        identity_provider.identity_provider(tmp_path, [f"{url}/portal/callback"]) as provider,
    ):
        file = tmp_path / "portal.yml"
        file.write_text(json.dumps(configuration(tmp_path, url, port, stubs.url, provider.issuer)))
        environment = {"PYTHONPATH": str(PACKAGE / "src")}
        lab.start("portal", [python, "-m", "mcp_portal", "--config", file], port, environment)
        made = Terminal(home, url, python)
        made.install()
        yield made
        made.state.unlink(missing_ok=True)  # by which the process in the background ends


def configuration(folder, url, port, litellm, issuer):
    about = {
        "litellm": litellm, "gateway": f"{litellm}/mcp", "manifest": MANIFEST, "ca": "",
        "sizes": [{"name": "stub", "context": 200000, "max_output": 8192, "capabilities": None}],
        "policy": {"default": "allow", "rules": []},
        "login": {"portal": f"{url}/portal", "program": PROGRAM.read_text()},
    }  # fmt: skip
    teams, table = [{"name": "payments"}], [{"group": "dev-payments", "team": "payments"}]
    models = {"names": ["stub"], "preferred": ""}
    texts = bundle_texts(str(ROLES))
    site = portal.site(table, teams, list(MANIFEST), models, about, texts, {})
    files = {"client": identity_provider.CLIENT_SECRET, "key": PORTAL_KEY}
    for name, text in {**files, "site.json": json.dumps(site)}.items():
        (folder / name).write_text(text)
    return {
        "listen": {"public_url": url, "port": port},
        "oidc": {
            "issuer": issuer,
            "client_id": identity_provider.CLIENT_ID,
            "client_secret_file": str(folder / "client"),
            "teams": table,
        },
        "litellm": {"url": litellm, "key_file": str(folder / "key"), "routes": ["/v1/messages"]},
        "gateway_url": litellm,
        "site_file": str(folder / "site.json"),
    }


def test_login_puts_a_key_everywhere_and_renews_it(terminal, stubs):
    (installed,) = terminal.keys()
    terminal.login()
    (first,) = terminal.keys()
    assert first != installed and first in stubs.live
    shown = terminal.run(terminal.program, "key")
    assert shown.stdout == f"{first}\n", "not due yet"
    terminal.make_due()
    shown = terminal.run(terminal.program, "key")
    (second,) = terminal.keys()
    assert shown.stdout == f"{second}\n" and second != first and second in stubs.live
    for path in (*PLACES, ".config/intranet-mcp/login.json"):
        assert (terminal.home / path).stat().st_mode & 0o077 == 0, path


def test_login_is_taken_out_with_everything_else(terminal):
    terminal.login()
    terminal.make_due()
    assert terminal.run(terminal.program, "key").returncode == 0
    bundle = terminal.home / ".config/intranet-mcp/bundle"
    done = terminal.run("sh", bundle / "install.sh", "--undo")
    assert done.returncode == 0 and "changed since" not in done.stdout, done.stdout + done.stderr
    left = {str(p.relative_to(terminal.home)) for p in terminal.home.rglob("*") if p.is_file()}
    left = {path for path in left if not path.startswith(".config/intranet-mcp/")}
    assert not left


def test_login_that_has_ended_says_so(terminal):
    terminal.login()
    state = json.loads(terminal.state.read_text())
    terminal.state.write_text(json.dumps({**state, "ends_at": 0}))
    ended = terminal.run(terminal.program, "key")
    assert ended.returncode == 1 and "run `intranet-mcp login`" in ended.stderr
    assert not ended.stdout, "nobody goes on with a key that may be revoked"
    terminal.install()
    (key,) = terminal.keys()
    assert terminal.run(terminal.program, "key").stdout == f"{key}\n", "a new bundle counts"


def test_end_all_my_sessions_ends_the_login(terminal):
    terminal.login()
    assert "revoked" in terminal.visit("end-sessions")["end-sessions"]["text"]
    terminal.make_due()
    for _time in range(2):
        ended = terminal.run(terminal.program, "key")
        assert ended.returncode == 1 and "your sign-in has ended" in ended.stderr


def test_portal_away_is_no_reason_to_stop(terminal):
    terminal.login()
    (key,) = terminal.keys()
    terminal.make_due()
    (terminal.home / ".config/intranet-mcp/portal").write_text("http://127.0.0.1:9/portal\n")
    shown = terminal.run(terminal.program, "key")
    assert shown.stdout == f"{key}\n" and "cannot be reached" in shown.stderr


def test_login_without_settings_or_with_other_words_says_what_to_do(tmp_path):
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    (tmp_path / ".config/intranet-mcp").mkdir(parents=True)
    for verb, status, words in (("login", 1, "run your bundle's install.sh"), ("x", 2, "login")):
        done = subprocess.run(
            [sys.executable, PROGRAM, verb], env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == status and words in done.stderr


def test_claude_code_renews_its_key(terminal, stubs, claude):
    terminal.login()
    (first,) = terminal.keys()
    terminal.environment["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = "1"
    assert terminal.run(claude, "-p", "Say hello").returncode == 0
    assert set(stubs.used) == {("/v1/messages", first), ("/mcp", first)}
    stubs.live.remove(first)
    stubs.used.clear()
    terminal.make_due()
    done = terminal.run(claude, "-p", "Say hello")
    (second,) = terminal.keys()
    assert done.returncode == 0, done.stdout + done.stderr
    assert second != first
    assert set(stubs.used) == {("/v1/messages", second), ("/mcp", second)}
