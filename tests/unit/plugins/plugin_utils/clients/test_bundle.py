# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A bundle installs, checks and undoes itself, with nothing but what is in it."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.filter.clients import bundle_texts
from ansible_collections.intranet.mcp.plugins.plugin_utils.clients.bundle import files

MANIFEST = yaml.safe_load(
    (support.REPOSITORY / "roles/platform/vars/main/clients.yml").read_text()
)["client_manifest"]
KEY = "sk-the-key-of-alice"
PERSON = {"alias": "alice", "model": "small", "models": ["small"], "key": KEY}


def texts():
    """Return the part of a bundle that is the same for everybody, and a page."""
    return {**bundle_texts(str(support.REPOSITORY / "roles")), "README.md": "Hello"}


@pytest.fixture
def bundle(tmp_path, service):
    """An unpacked bundle of alice for a platform that a test plays."""
    site = {"litellm": service.url, "gateway": f"{service.url}/mcp", "manifest": MANIFEST}
    site["ca"] = getattr(service, "ca", "")
    for file in files(PERSON, site, list(MANIFEST), texts()):
        path = tmp_path / "bundle" / file["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["content"])
        path.chmod(int(file["mode"], 8))
    return tmp_path / "bundle"


@pytest.fixture
def run(bundle, tmp_path):
    """Return a function that runs a script of the bundle in an empty home."""
    (tmp_path / "home").mkdir()

    def runner(script, *arguments, **environment):
        base = {
            "HOME": str(tmp_path / "home"),
            "PATH": os.environ["PATH"],
            "PYTHON": sys.executable,
        }
        return subprocess.run(
            [bundle / script, *arguments],
            env={**base, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return runner


def answers(service):
    """Let the fake platform answer as the real one does."""
    service.replies["GET", "/v1/models"] = 200, {"data": [{"id": "small"}]}
    service.replies["POST", "/v1/chat/completions"] = 200, {"choices": [{"message": {}}]}

    def mcp(exchange):
        if exchange.headers["authorization"] != f"Bearer {KEY}":
            return 401, {}
        body = exchange.json()
        if body["method"] == "initialize":
            return 200, {"result": {}}, {"Mcp-Session-Id": "s1"}
        assert exchange.headers["mcp-session-id"] == "s1"
        if body["method"] != "tools/list":
            return 202, b""
        tools = [{"name": "files__read"}, {"name": "files__list"}, {"name": "web__get"}]
        event = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}})
        return (
            200,
            f"event: message\ndata: {event}\n\n".encode(),
            {"Content-Type": "text/event-stream"},
        )

    service.replies["POST", "/mcp"] = mcp


def test_everything_is_its_owners_alone(bundle):
    wrong = [
        path
        for path in bundle.rglob("*")
        if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert not wrong


def test_the_key_stands_in_the_files_that_need_it_and_nowhere_else(bundle):
    holding = {
        str(path.relative_to(bundle))
        for path in bundle.rglob("*")
        if path.is_file() and KEY in path.read_text()
    }
    assert holding == {
        "files/.config/intranet-mcp/key",
        "files/.codex/.env",
        "files/.gemini/.env",
        "files/.qwen/.env",
    }


def test_install_undo_and_install_again(run, tmp_path):
    done = run("install.sh")
    assert done.returncode == 0, done.stderr
    assert "15 files changed" in done.stdout
    assert (tmp_path / "home/.config/intranet-mcp/key").read_text() == KEY + "\n"
    assert "0 files changed" in run("install.sh").stdout
    undone = run("install.sh", "--undo")
    assert undone.returncode == 0, undone.stderr
    assert not list((tmp_path / "home").iterdir())


def test_a_broken_settings_file_is_one_line_and_nothing_is_written(run, tmp_path):
    (tmp_path / "home/.gemini").mkdir()
    (tmp_path / "home/.gemini/settings.json").write_text("{ broken")
    done = run("install.sh")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "settings.json cannot be read (line 1" in done.stderr
    assert [path.name for path in (tmp_path / "home").iterdir()] == [".gemini"]


@pytest.mark.parametrize("script", ["install.sh", "check.sh"])
def test_a_missing_python_is_one_line(run, script):
    done = run(script, PYTHON="/nowhere/python3")
    assert done.returncode == 1
    assert "expected Python 3.8 or later" in done.stderr


def test_check_says_that_models_and_tools_answer(run, service):
    answers(service)
    done = run("check.sh")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "accepts your key and offers 1: small" in done.stdout
    assert "shows you 3: files 2, web 1" in done.stdout
    assert len(done.stdout.splitlines()) < 25
    assert KEY not in done.stdout


def test_check_names_what_does_not_answer(run, service):
    answers(service)
    service.replies["GET", "/v1/models"] = 401, {"error": "no"}
    service.replies["POST", "/v1/chat/completions"] = 500, {"error": "database"}
    service.replies["POST", "/mcp"] = 401, {}
    done = run("check.sh")
    assert done.returncode == 1
    assert done.stdout.count("FAILED") == 3
    assert "does not accept your key (401)" in done.stdout
    assert "answered 500" in done.stdout


@pytest.fixture
def claude(tmp_path):
    """The PATH of a machine where Claude Code is, and no other CLI."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "claude").write_text("#!/bin/sh\necho 2.1.332\n")
    (folder / "claude").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_check_sends_the_opening_request_of_a_cli_that_is_there(run, service, claude):
    answers(service)
    events = b'event: message_stop\ndata: {"type": "message_stop"}\n\n'
    stream = (200, events, {"Content-Type": "text/event-stream"})
    service.replies["POST", "/v1/messages"] = stream
    done = run("check.sh", PATH=claude)
    assert done.returncode == 0, done.stdout
    assert "small answers its opening request" in done.stdout
    assert re.search(r"answered in 0\.\d s and reads \d+ tokens a second", done.stdout)
    assert re.search(r"with your tools, its first word takes about \d+ s", done.stdout)
    (sent,) = service.seen("POST", "/v1/messages")
    assert sent.json()["thinking"]["type"] == "adaptive"
    assert sent.headers["anthropic-beta"]

    refused = {"error": {"message": "does not support thinking"}}
    service.replies["POST", "/v1/messages"] = 400, refused
    done = run("check.sh", PATH=claude)
    assert done.returncode == 1 and "does not support thinking" in done.stdout
    assert "(its opening request has tools, thinking," in done.stdout


def test_check_says_when_a_model_cannot_read_the_opening_prompt(run, service, claude, bundle):
    answers(service)
    about = json.loads((bundle / "platform.json").read_text())
    (bundle / "platform.json").write_text(json.dumps({**about, "context": 8192}))
    done = run("check.sh", PATH=claude)
    assert done.returncode == 1
    assert "about 19659 tokens, small reads 8192" in done.stdout


def test_check_tells_a_proxy_from_a_wrong_network(run, service):
    service.close()
    assert "company's network" in run("check.sh").stdout
    proxied = run("check.sh", http_proxy=service.url).stdout
    assert "A proxy was asked for it: add 127.0.0.1 to NO_PROXY." in proxied
    assert "export NO_PROXY='127.0.0.1' no_proxy='127.0.0.1'." in proxied


# A CLI that connects to the gateway of its settings, as `claude mcp list` does, by the proxy of its
# environment, which its settings may change.
CONNECTING = """
import json, os, sys, urllib.request
if "--version" in sys.argv:
    sys.exit("2.1.332")
home = os.environ["HOME"]
place = os.environ.get("CLAUDE_CONFIG_DIR", f"{home}/.claude")
os.environ.update(json.load(open(f"{place}/settings.json"))["env"])
url = json.load(open(f"{home}/.claude.json"))["mcpServers"]["gw"]["url"]
request = urllib.request.Request(url, b"{}", {"X-Cli": "claude"})
try:
    urllib.request.urlopen(request, timeout=10)
except OSError as error:
    print(url, error)
else:
    print(url, "Connected")
"""


@pytest.fixture
def connecting(claude, tmp_path):
    """The PATH of a machine whose Claude Code connects."""
    program = tmp_path / "programs/claude"
    program.write_text(f"#!{sys.executable}{CONNECTING}")
    return claude


@pytest.fixture
def company():
    """The company's proxy, which answers nobody."""
    proxy = support.FakeService()
    yield proxy
    proxy.close()


def proxy_line(done):
    """Return what check.sh said of proxies."""
    return next((x for x in done.stdout.splitlines() if x[10:].startswith("Proxy")), None)


def test_check_says_which_cli_would_use_the_companys_proxy_and_the_fix_holds(
    run, service, connecting, company
):
    answers(service)
    url = company.url.replace("//", "//alice:password@")
    excepted = "localhost, .example.internal"
    environment = {"PATH": connecting, "http_proxy": url, "no_proxy": excepted}
    said = proxy_line(run("check.sh", **environment))
    assert said.startswith("  FAILED") and "check.sh, claude would send" in said, said
    assert "127.0.0.1, your key included, to the proxy set by http_proxy" in said
    assert "password" not in said
    assert not [sent for sent in company.exchanges if "x-cli" in sent.headers], "not the listener"

    fix = re.search("export NO_PROXY='(.*)' no_proxy='(.*)'", said)
    assert fix[1] == fix[2] == "localhost,.example.internal,127.0.0.1"
    done = run("check.sh", **{**environment, "NO_PROXY": fix[1], "no_proxy": fix[2]})
    said = proxy_line(done)
    assert said.startswith("  ok"), done.stdout
    assert "check.sh, claude reach 127.0.0.1 without the proxy set by http_proxy" in said


def test_check_sees_a_proxy_that_only_a_clis_settings_name(
    run, service, connecting, company, tmp_path
):
    answers(service)
    run("install.sh")
    path = tmp_path / "home/.claude/settings.json"
    settings = json.loads(path.read_text())
    own = {"HTTP_PROXY": company.url, "http_proxy": company.url, "NO_PROXY": "localhost"}
    path.write_text(json.dumps({**settings, "env": {**settings["env"], **own}}))
    before = path.read_text()
    said = proxy_line(run("check.sh", PATH=connecting, CLAUDE_CONFIG_DIR=str(path.parent)))
    assert said.startswith("  FAILED") and "Proxy    claude would send" in said, said
    assert "set by ~/.claude/settings.json" in said
    assert "and 127.0.0.1 into NO_PROXY of ~/.claude/settings.json" in said
    assert company.exchanges == [] and path.read_text() == before


def test_an_interrupted_check_leaves_no_cli_and_no_copy_of_the_settings(
    bundle, service, claude, tmp_path
):
    answers(service)
    program = tmp_path / "programs/claude"
    program.write_text(
        f'#!/bin/sh\n[ "$1" != --version ] || exit 0\necho $$ >{tmp_path}/pid\nexec sleep 60\n'
    )
    environment = {"HOME": str(tmp_path), "PATH": claude, "PYTHON": sys.executable}
    environment |= {"TMPDIR": str(tmp_path / "copies"), "https_proxy": "http://127.0.0.1:1"}
    (tmp_path / "copies").mkdir()
    check = subprocess.Popen([bundle / "check.sh"], env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert time.monotonic() < deadline
            time.sleep(0.05)  # nothing tells when a program has started
        check.terminate()
        assert check.wait(20) == 128 + signal.SIGTERM
    finally:
        check.kill()
    assert list((tmp_path / "copies").iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_check_claims_nothing_of_a_cli_that_does_not_connect(run, service, claude):
    answers(service)
    said = proxy_line(run("check.sh", PATH=claude, https_proxy="http://127.0.0.1:1"))
    assert "nothing is known of claude, which did not connect" in said


def test_check_says_nothing_of_proxies_where_none_is_set(run, service, connecting):
    answers(service)
    assert proxy_line(run("check.sh", PATH=connecting, NO_PROXY="localhost")) is None


@pytest.fixture
def private_service(service, tmp_path):
    """The platform behind TLS, with a certificate that no machine knows, which is in `ca`."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    what = ("-days", "1", "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1")
    files_ = ("-nodes", "-keyout", key, "-out", certificate)
    subprocess.run([*make, *files_, *what], check=True, capture_output=True)
    service.use_tls(certificate, key)
    service.ca = certificate.read_text()
    answers(service)
    return service


def test_check_trusts_the_authority_of_the_bundle_and_sees_whether_the_clis_do(
    private_service, run, bundle
):
    trust = bundle / "files/.config/intranet-mcp/ca.crt"
    assert trust.read_text() == private_service.ca
    done = run("check.sh")
    assert done.returncode == 1, done.stdout
    assert "NODE_EXTRA_CA_CERTS is not set" in done.stdout
    assert "shows you 3: files 2, web 1" in done.stdout
    own = bundle.parent / "company.crt"
    own.write_text("-----BEGIN CERTIFICATE-----\nelse\n-----END CERTIFICATE-----\n")
    names = ("NODE_EXTRA_CA_CERTS", "CODEX_CA_CERTIFICATE")
    done = run("check.sh", **dict.fromkeys(names, str(own)))
    assert f"Append {trust} to that file" in done.stdout
    own.write_text(own.read_text() + private_service.ca)
    done = run("check.sh", **dict.fromkeys(names, str(own)))
    assert done.returncode == 0, done.stdout


def test_a_new_shell_trusts_the_authority_after_the_installation(private_service, run, tmp_path):
    run("install.sh")
    home = tmp_path / "home"
    shell = ["sh", "-c", '. "$HOME/.profile"; echo "$NODE_EXTRA_CA_CERTS|$CODEX_CA_CERTIFICATE"']
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "CODEX_CA_CERTIFICATE": "/own"}
    said = subprocess.run(shell, env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == f"{home}/.config/intranet-mcp/ca.crt|/own"
    run("install.sh", "--undo")
    assert not list(home.iterdir())


def test_claude_gets_its_header_from_the_key_file(run, tmp_path):
    run("install.sh")
    script = tmp_path / "home/.config/intranet-mcp/claude-headers"
    said = subprocess.run(
        ["sh", script], env={"HOME": str(tmp_path / "home")}, capture_output=True, check=True
    )
    assert json.loads(said.stdout) == {"Authorization": f"Bearer {KEY}"}
