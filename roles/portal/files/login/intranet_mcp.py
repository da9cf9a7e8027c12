#!/usr/bin/env python3
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Takes a key at the platform's portal and keeps it fresh.

intranet-mcp login   connects this terminal with your sign-in (RFC 8628)
intranet-mcp key     prints the key, a new one where it is due (Claude Code's apiKeyHelper)
intranet-mcp keep    renews the key until the sign-in ends; `login` starts it in the background

Any Python of 3.8 or later, nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import webbrowser

HOME = os.path.expanduser("~")
FOLDER = os.path.join(HOME, ".config", "intranet-mcp")
KEY_FILE = ".config/intranet-mcp/key"
STATE = os.path.join(FOLDER, "login.json")
CLIENT = "intranet-mcp"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
SECONDS = 20
KEEP_SECONDS = 30  # how often it is seen whether a key is due; a laptop may have slept
ENDED = "your sign-in has ended: run `intranet-mcp login`"


class Trouble(Exception):
    """What was found and what to do."""


class Refused(Trouble):
    """The portal's answer to a request that it did not grant. `code` is RFC 6749's."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def main(arguments):
    """Return the exit status."""
    verbs = {"login": login, "key": show_key, "keep": keep}
    verb = verbs.get(arguments[0] if len(arguments) == 1 else "")
    if not verb:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        verb()
    except Trouble as trouble:
        print(f"error: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


# --- verbs ----------------------------------------------------------------------------------------


def login():
    """Show a code, wait until somebody typed it at the portal, and put the key in its places."""
    if _read(os.path.join(HOME, KEY_FILE)) is None:
        raise Trouble("the platform's settings are not installed: run your bundle's install.sh")
    shown = ask("device/code")
    page, code = shown["verification_uri"], shown["user_code"]
    print(f"Open  {page}\nType  {code}", flush=True)
    if _has_browser():
        webbrowser.open(page)
    answer = _granted(shown)
    with _lock("login"):
        take(answer)
    hours = answer["refresh_token_expires_in"] / 3600
    print(f"Connected. The key is renewed by itself for {hours:.1f} hours.")
    subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), "keep"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def show_key():
    """Print the key. An old one that still works is better than none while the portal is away."""
    key = _read(os.path.join(HOME, KEY_FILE))
    if key is None:
        raise Trouble("there is no key: run install.sh of your bundle first")
    state = load()
    if state and is_over(state):
        raise Trouble(ENDED)
    if state and time.time() >= state["due_at"]:
        try:
            renew()
        except Refused:
            raise
        except Trouble as trouble:
            if time.time() >= state["key_ends_at"]:
                raise
            print(f"warning: {trouble}", file=sys.stderr)
        key = _read(os.path.join(HOME, KEY_FILE))
    print(key.strip())


def keep():
    """Renew the key until the sign-in ends, one process for all terminals."""
    with _lock("keep", wait=False) as is_first:
        while is_first:
            with _lock("login"):
                state = load()
            if state is None or is_over(state):
                return
            if not os.path.exists(os.path.abspath(__file__)):
                os.unlink(STATE)  # install.sh --undo has removed the settings
                return
            with contextlib.suppress(Trouble):  # the next round tries again, if there is a login
                if time.time() >= state["due_at"]:
                    renew()
            time.sleep(KEEP_SECONDS)


# --- the login and its key ------------------------------------------------------------------------


def renew():
    """Take another key, unless somebody else has just done so."""
    with _lock("login"):
        state = load()
        if state is None or is_over(state):
            raise Refused("invalid_grant", ENDED)
        if time.time() < state["due_at"]:
            return
        try:
            fields = {"grant_type": "refresh_token", "refresh_token": state["refresh_token"]}
            take(ask("token", **fields))
        except Refused as refused:
            if refused.code != "invalid_grant":
                raise Trouble(str(refused)) from refused
            _write(STATE, json.dumps({**state, "ends_at": 0}) + "\n")
            raise Refused(refused.code, ENDED) from refused


def take(answer):
    """Put a new key wherever the settings have the old one, and remember what renews it."""
    now = time.time()
    put_key(answer["access_token"])
    state = {
        "key": _digest(answer["access_token"]),
        "refresh_token": answer["refresh_token"],
        "ends_at": now + answer["refresh_token_expires_in"],
        "key_ends_at": now + answer["expires_in"],
        "due_at": now + answer["expires_in"] / 2,
    }
    _write(STATE, json.dumps(state) + "\n")


def load():
    """Return the login that the key is of; None where the key came with a bundle."""
    try:
        state = json.loads(_read(STATE) or "null")
    except ValueError:
        return None
    key = (_read(os.path.join(HOME, KEY_FILE)) or "").strip()
    return state if state and state["key"] == _digest(key) else None


def is_over(state):
    """Whether the sign-in has ended, or was ended."""
    return time.time() >= state["ends_at"]


def put_key(key):
    """Replace the old key, and in the record by which install.sh takes the settings out again."""
    old = (_read(os.path.join(HOME, KEY_FILE)) or "").strip()
    place = os.path.join(FOLDER, "undo", "record.json")
    record = json.loads(_read(place) or '{"files": {}}')
    secret = [known for known in record["files"].values() if known.get("secret")]
    for known in secret:
        _replace(known, old, key)
    _write(place, json.dumps(record, indent=1, sort_keys=True) + "\n")
    for path in [*(known["path"] for known in secret if known["path"] != KEY_FILE), KEY_FILE]:
        for base in (os.path.join(FOLDER, "bundle", "files"), HOME):
            file = os.path.realpath(os.path.join(base, path))
            text = _read(file)
            if old and text and old in text:
                _write(file, text.replace(old, key))


def _replace(known, old, key):
    """Say in the record what a file will have."""
    text = _read(os.path.join(HOME, known["path"])) or ""
    if known.get("written") == _digest(text):
        known["written"] = _digest(text.replace(old, key))
    for leaf in known.get("leaves", []):
        if leaf[1] == old:
            leaf[1] = key


# --- the portal -----------------------------------------------------------------------------------


def _granted(shown):
    """Ask, at the pace that the portal wants, until the code was typed."""
    interval, ends_at = shown.get("interval", 5), time.monotonic() + shown["expires_in"]
    while time.monotonic() < ends_at:
        time.sleep(interval)
        try:
            return ask("token", grant_type=DEVICE, device_code=shown["device_code"])
        except Refused as refused:
            if refused.code == "slow_down":
                interval += 5
            elif refused.code not in ("authorization_pending", "temporarily_unavailable"):
                raise
        except Trouble as trouble:  # RFC 8628, 3.5: a lost connection is no answer
            print(f"warning: {trouble}", file=sys.stderr)
            interval += 5
    raise Trouble("nobody has typed the code in time: run `intranet-mcp login` again")


def ask(path, **fields):
    """Return the portal's answer to a form."""
    url = f"{(_read(os.path.join(FOLDER, 'portal')) or '').strip()}/{path}"
    data = urllib.parse.urlencode({"client_id": CLIENT, **fields}).encode()
    try:
        request = urllib.request.Request(url, data)  # noqa: S310  an address of the bundle
        with urllib.request.urlopen(  # noqa: S310  as above
            request, timeout=SECONDS, context=_context(url)
        ) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise _refusal(url, error) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        advice = "Are you in the company's network?"
        raise Trouble(f"{url} cannot be reached ({reason}). {advice}") from error


def _refusal(url, error):
    try:
        said = json.loads(error.read(65536))
        code = said["error"]
    except (OSError, ValueError, KeyError, TypeError):
        return Trouble(f"{url} answered {error.code}: try again in a minute")
    return Refused(code, f"{url} refuses this ({said.get('error_description') or code})")


def _context(url):
    """What is trusted: what this machine trusts, and the platform's own authority."""
    if not url.startswith("https://"):
        return None
    context = ssl.create_default_context()
    authority = os.path.join(FOLDER, "ca.crt")
    if os.path.exists(authority):
        context.load_verify_locations(authority)
    return context


def _has_browser():
    """Whether a browser would open on the person's own screen."""
    if "SSH_CONNECTION" in os.environ:
        return False
    is_shown = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return sys.platform == "darwin" or is_shown


# --- files ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _lock(name, wait=True):
    """Keep others out; yield whether one is in."""
    with open(os.path.join(FOLDER, f"{name}.lock"), "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def _read(path):
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _write(path, text):
    """Replace a file in one step, readable by its owner alone."""
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    os.replace(temporary, path)


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
