# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tells on one screen whether models and tools answer. Any Python of 3.8 or later."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter

from .client_requests import opening_tokens, parameters_of, request_from, tokens_of
from .prompt_speed import seconds_of, tokens_per_second
from .proxies import Proxies

PROTOCOL = "2025-06-18"
SECONDS = 60


class Trouble(Exception):
    """What was found and what to do."""


def run(about, home, bundle):
    """Print a line a check; return 1 when models or tools do not answer."""
    key = _key(home, bundle)
    trusted = _in_bundle(bundle, "ca.crt")
    if os.path.exists(trusted):
        about = {**about, "ca": trusted}
    proxies = Proxies(about, home, bundle)
    about = {**about, "proxies": proxies, "measured": {}}
    programs = {name: found for name in about["clients"] if (found := shutil.which(name))}
    checks = [
        *([("Trust", lambda: _trust(about))] if "ca" in about else []),
        *([("Proxy", lambda: _proxy(proxies, programs))] if proxies else []),
        ("Models", lambda: _models(about, key)),
        ("Chat", lambda: _chat(about, key)),
        ("Tools", lambda: _tools(about, key)),
        *((name, _opening(about, key, name)) for name in programs),
    ]
    failed = sum(not _shown(title, check) for title, check in checks)
    for name, client in about["clients"].items():
        print(f"  {_installed(name, client)}")
    print("Models and tools answer." if not failed else f"{failed} of {len(checks)} checks failed.")
    return 1 if failed else 0


def _key(home, bundle):
    for base in (home, os.path.join(bundle, "files")):
        path = os.path.join(base, ".config", "intranet-mcp", "key")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as stream:
                return stream.read().strip()
    return ""


def _in_bundle(bundle, name):
    return os.path.join(bundle, "files", ".config", "intranet-mcp", name)


def _trust(about):
    """Tell whether the CLIs, which read it from the environment, know the platform's authority."""
    with open(about["ca"], encoding="utf-8") as stream:
        authority = "".join(stream.read().split())
    for name in ("NODE_EXTRA_CA_CERTS", "CODEX_CA_CERTIFICATE"):
        path = os.environ.get(name, "")
        try:
            with open(path, encoding="utf-8") as stream:
                is_known = authority in "".join(stream.read().split())
        except OSError:
            is_known = False
        if not is_known:
            raise Trouble(
                f"{name} is {path or 'not set'}, which does not hold the platform's authority. "
                + (f"Append {about['ca']} to that file." if path else "Open a new terminal.")
            )
    return "the CLIs know the platform's certificate authority"


def _proxy(proxies, programs):
    """Tell whether the CLIs send what is meant for the platform to the company's proxy."""
    proxied, direct, silent = proxies.through(programs)
    is_proxied = any(map(proxies.takes, proxies.urls.values()))
    (proxied if is_proxied else direct).insert(0, "check.sh")
    hosts = " and ".join(proxies.hosts)
    if proxied:
        raise Trouble(
            f"{', '.join(proxied)} would send what is meant for {hosts}, your key included, to the "
            f"proxy set by {proxies.where}. {proxies.fix}"
        )
    told = f"{', '.join(direct)} reach {hosts} without the proxy set by {proxies.where}"
    unknown = f"; nothing is known of {', '.join(silent)}, which did not connect"
    return told + (unknown if silent else "")


def _shown(title, check):
    try:
        print(f"  ok      {title:9}{check()}")
        return True
    except Trouble as error:
        print(f"  FAILED  {title:9}{error}")
        return False


def _models(about, key):
    answer = _ask(about, about["litellm"] + "/v1/models", key)
    names = [model["id"] for model in answer.get("data", [])]
    if about["model"] not in names:
        raise Trouble(
            f"{about['litellm']} accepts your key but does not offer {about['model']}, only "
            f"{', '.join(names) or 'nothing'}. Ask for a new bundle."
        )
    return f"{about['litellm']} accepts your key and offers {len(names)}: {', '.join(names[:5])}"


def _chat(about, key):
    started = time.monotonic()
    _tokens_read(about, key, "Say hello.", 16)
    took = time.monotonic() - started
    speed = tokens_per_second(lambda text: _tokens_read(about, key, text, 1))
    about["measured"]["speed"] = speed
    return f"{about['model']} answered in {took:.1f} s and reads {speed:.0f} tokens a second"


def _tokens_read(about, key, text, max_tokens):
    """Ask the model, and return how many tokens the prompt had; a guess where nobody says."""
    messages = [{"role": "user", "content": text}]
    body = {"model": about["model"], "messages": messages, "max_tokens": max_tokens}
    answer = _ask(about, about["litellm"] + "/v1/chat/completions", key, body)
    if not answer.get("choices"):
        raise Trouble(f"{about['model']} answered without a choice: {json.dumps(answer)[:200]}")
    usage = answer.get("usage") or {}
    return usage.get("prompt_tokens") or len(text.split())


def _opening(about, key, name):
    """Return a check that sends what a CLI sends first: its parameters in full, its texts short."""
    path = os.path.join(os.path.dirname(__file__), "requests.json")
    with open(path, encoding="utf-8") as stream:
        shape = json.load(stream)[name]

    def check():
        needed, context = opening_tokens(shape), about.get("context")
        if context and needed >= context:
            raise Trouble(
                f"its opening prompt takes about {needed} tokens, {about['model']} reads {context}."
                " Ask for a model with more context."
            )
        request = request_from(shape, about["model"], 16, 64, 2)
        started = time.monotonic()
        url, body = about["litellm"] + request["path"], request["body"]
        try:
            _ask(about, url, key, body, request["headers"])
        except Trouble as trouble:
            asked = ", ".join(parameters_of(body))
            raise Trouble(f"{trouble} (its opening request has {asked})") from trouble
        took = time.monotonic() - started
        said = f"{about['model']} answers its opening request, {took:.1f} s"
        if "speed" not in about["measured"]:
            return said
        tokens = needed + about["measured"].get("tools", 0)
        wait = seconds_of(about["measured"]["speed"], tokens)
        return f"{said}; in full, with your tools, its first word takes about {wait} s"

    return check


def _tools(about, key):
    session = {}
    _rpc(about, key, session, "initialize", _hello())
    _rpc(about, key, session, "notifications/initialized")
    tools, cursor = [], None
    while True:
        page = _rpc(about, key, session, "tools/list", {"cursor": cursor} if cursor else {})
        tools += page.get("tools", [])
        cursor = page.get("nextCursor")
        if not cursor:
            break
    about["measured"]["tools"] = tokens_of(tools)
    servers = Counter(tool["name"].partition("__")[0] for tool in tools)
    if not tools:
        raise Trouble(f"{about['gateway']} shows you no tool. Ask which are meant for your team.")
    listed = ", ".join(f"{name} {count}" for name, count in sorted(servers.items()))
    return f"{about['gateway']} shows you {len(tools)}: {listed}"


def _hello():
    client = {"name": "check", "version": "1"}
    return {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client}


def _rpc(about, key, session, method, params=None):
    body = {"jsonrpc": "2.0", "method": method}
    if params is not None:
        body.update(id=1, params=params)
    headers = {"Accept": "application/json, text/event-stream", **session}
    answer = _ask(about, about["gateway"], key, body, headers, session)
    if "error" in answer:
        raise Trouble(f"{about['gateway']} refused {method}: {answer['error'].get('message')}")
    return answer.get("result", {})


def _ask(about, url, key, body=None, headers=None, session=None):
    """Return the decoded answer of a request; JSON, or the first event that is an answer."""
    data = json.dumps(body).encode() if body is not None else None
    all_headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(  # noqa: S310  an address of the bundle
        url, data, {**all_headers, **(headers or {})}
    )
    try:
        with urllib.request.urlopen(  # noqa: S310  as above
            request, timeout=SECONDS, context=_context(about)
        ) as response:
            if session is not None and response.headers.get("Mcp-Session-Id"):
                session["Mcp-Session-Id"] = response.headers["Mcp-Session-Id"]
                session["MCP-Protocol-Version"] = PROTOCOL
            return _decoded(response)
    except urllib.error.HTTPError as error:
        raise Trouble(_refusal(about, url, error)) from error
    except ValueError as error:
        raise Trouble(
            f"{url} answered something else than JSON ({error}). {_advice(about, url)}"
        ) from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise Trouble(
                f"{url} was silent for {SECONDS} s. A model may be loading: try again."
            ) from error
        raise Trouble(f"{url} cannot be reached ({reason}). {_advice(about, url)}") from error


def _context(about):
    """What is trusted: what this machine trusts, and the platform's own authority."""
    if not about["litellm"].startswith("https://"):
        return None
    context = ssl.create_default_context()
    if "ca" in about:
        context.load_verify_locations(about["ca"])
    return context


def _decoded(response):
    if "event-stream" not in (response.headers.get("Content-Type") or ""):
        return json.loads(response.read() or b"{}")
    for line in response:
        if line.startswith(b"data:") and line[5:].strip() != b"[DONE]":
            event = json.loads(line[5:])
            if event.get("error") and "jsonrpc" not in event:
                raise Trouble(f"the answer broke off: {json.dumps(event['error'])[:200]}")
            if "result" in event or "error" in event:
                return event
    return {}


def _refusal(about, url, error):
    text = error.read(500).decode(errors="replace")
    if about["proxies"].takes(url):
        return f"{url} answered {error.code}: {text[:200]}. {_advice(about, url)}"
    if error.code in (401, 403):
        return f"{url} does not accept your key ({error.code}). Ask for a new bundle."
    return f"{url} answered {error.code}: {text[:200]}"


def _advice(about, url):
    if about["proxies"].takes(url):
        hosts = ", ".join(about["proxies"].hosts)
        return f"A proxy was asked for it: add {hosts} to NO_PROXY."
    return "Are you in the company's network?"


def _installed(name, client):
    program = shutil.which(name)
    wanted = f"npm install -g {client['package']}@{client['version']}"
    if not program:
        return f"--      {client['title']} is not installed: {wanted}"
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=30, check=False
        )
        version = (done.stdout.strip().splitlines() or ["?"])[-1]
    except (OSError, subprocess.TimeoutExpired):
        version = "?"
    if client["version"] in version:
        return f"ok      {client['title']} {client['version']}"
    return f"--      {client['title']} says {version}; tested was {client['version']}: {wanted}"
