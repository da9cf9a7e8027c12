# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether a CLI would send the platform's traffic to a company's proxy. Any Python of 3.8 or later.

CLIs read NO_PROXY differently: a range of addresses keeps Claude Code and Codex from the proxy, and
Gemini CLI, Qwen Code and opencode not. So each of them connects to the platform, with the settings
it has, while the proxy is a listener of this program.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import urllib.parse
import urllib.request

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
# These name other places of settings than the home, where the copy is.
PLACES = re.compile(
    r"XDG_\w+_HOME|(?:CLAUDE|CODEX|GEMINI|QWEN|OPENCODE)_(?:\w+_)?(?:CONFIG|CONTENT|DIR|HOME|PATH)"
)
SECONDS = 30
# What makes each connect to the gateway without asking a model.
COMMANDS = {
    "claude": ("mcp", "list"),
    "codex": ("doctor",),
    "gemini": ("mcp", "list"),
    "qwen": ("mcp", "list"),
    "opencode": ("mcp", "list"),
}
# A proxy in a file of settings, be it JSON, TOML or NAME=value.
_SETTING = re.compile(
    r"""(\b(?:https?_proxy|all_proxy|proxy)["']?\s*[:=]\s*["']?)"""
    r"""(?:\w+://[^"'\s,}]+|[\w.-]+:\d+)""",
    re.IGNORECASE,
)
_EXCEPTIONS = re.compile(r"\bno_proxy\b", re.IGNORECASE)


class Proxies:
    """What sends this person's traffic to a proxy, and what it lets through."""

    def __init__(self, about, home, bundle):
        self.about = about
        self.urls = {_host(url): url for url in (about["litellm"], about["gateway"])}
        self.hosts = sorted(self.urls)
        self.settings = _settings(about, home, bundle)
        in_environment = [name for name in os.environ if name.upper() in VARIABLES]
        self.names = sorted(name for name in in_environment if os.environ[name])
        self.files = [path for path, text in self.settings.items() if _SETTING.search(text)]

    def __bool__(self):
        return bool(self.names or self.files)

    def through(self, programs):
        """Return the CLIs that use the proxy, those that do not, and those that did not tell.

        programs: name of a CLI to its program.
        """
        found = {True: [], False: [], None: []}
        with _cleaning_up(), _listener() as listener:
            for name, program in programs.items():
                found[self._uses_proxy(program, COMMANDS[name], listener)].append(name)
        return found[True], found[False], found[None]

    def _uses_proxy(self, program, arguments, listener):
        """Whether a CLI does; None when it never came to connect."""
        verdicts = [
            self._uses_proxy_for(url, [program, *arguments], listener) for url in self.urls.values()
        ]
        return True if True in verdicts else None if None in verdicts else False

    def _uses_proxy_for(self, url, command, listener):
        listener.asked.clear()
        home = tempfile.mkdtemp()
        try:
            self._write(home, listener.url, url)
            kept = {name: v for name, v in os.environ.items() if not PLACES.fullmatch(name)}
            environment = {**kept, **dict.fromkeys(self.names, listener.url), "HOME": home}
            said = _output(command, home, environment)
        finally:
            shutil.rmtree(home, ignore_errors=True)
        if listener.asked & set(self.hosts):
            return True
        return False if any(host in said for host in self.hosts) else None

    def _write(self, home, proxy, url):
        """Write a home with the same settings, but for the proxy and the gateway's address."""
        for path, text in self.settings.items():
            target = os.path.join(home, *path.split("/"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "w", encoding="utf-8", newline="") as stream:
                text = text.replace(self.about["gateway"], url)
                stream.write(_SETTING.sub(lambda found: found[1] + proxy, text))

    def takes(self, url):
        """Whether this program's own requests go through a proxy."""
        parts = urllib.parse.urlsplit(url)
        is_excepted = urllib.request.proxy_bypass(parts.hostname)
        return parts.scheme in urllib.request.getproxies() and not is_excepted

    @property
    def where(self):
        """Where the proxy is set, without its address, which may hold a password."""
        return ", ".join([*self.names, *(f"~/{path}" for path in self.files)])

    @property
    def fix(self):
        """What to write where, as a sentence."""
        names = ("NO_PROXY", "no_proxy")
        entries = ",".join(os.environ.get(name, "") for name in names).split(",")
        wanted = dict.fromkeys([entry.strip() for entry in entries if entry.strip()] + self.hosts)
        value = ",".join(wanted)
        files = [path for path, text in self.settings.items() if _EXCEPTIONS.search(text)]
        also = f", and {', '.join(self.hosts)} into NO_PROXY of ~/{', ~/'.join(files)}"
        return (
            "Write into ~/.profile, or where the proxy is set: "
            f"export NO_PROXY='{value}' no_proxy='{value}'{also if files else ''}."
        )


def _host(url):
    return urllib.parse.urlsplit(url).hostname


def _settings(about, home, bundle):
    """Return the files that CLIs read, by their place in a home: this person's, else the bundle's.

    A shell's start-up files are none of them.
    """
    found = {}
    for entry in about["entries"]:
        for base in (home, os.path.join(bundle, "files")):
            path = os.path.join(base, *entry["path"].split("/"))
            if entry["format"] != "line" and os.path.exists(path):
                with open(path, encoding="utf-8", newline="") as stream:
                    found[entry["path"]] = stream.read()
                break
    return found


class _Listener(http.server.ThreadingHTTPServer):
    """Refuses to be a proxy, and remembers which hosts it was asked for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked = set()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Say nothing of a CLI that hangs up."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def _refuse(self):
        url = self.path if "://" in self.path else f"//{self.path}"
        self.server.asked.add(_host(url))
        self.send_error(403)

    do_CONNECT = do_DELETE = do_GET = do_HEAD = do_POST = _refuse


@contextlib.contextmanager
def _listener():
    server = _Listener()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def _cleaning_up():
    """Let a signal that ends this program end the CLI and remove the copied settings, too."""
    signals = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, _leave) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number, _frame):
    raise SystemExit(128 + number)


def _output(command, folder, environment):
    """Return what a CLI says, and leave no part of it running."""
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError:
        return ""
    with process:
        try:
            said = process.communicate(timeout=SECONDS)[0]
        except subprocess.TimeoutExpired:
            said = b""
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return said.decode(errors="replace")
