# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Hands alerts of Alertmanager's webhook to robots of WeCom, DingTalk and Feishu, in their forms.

`POST /NAME` is for the robot of that receiver. What the robot says decides the answer: 200 once it
took the message, 502 where it did not, so that Alertmanager counts it as failed and tries again.
The robots tell of errors in the body of a 200.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import sys
import time
import urllib.request
from typing import Any
from urllib.parse import quote_plus

ROBOT_SECONDS = 10
CLIENT_SECONDS = 15
MAX_BODY_BYTES = 4 << 20
# WeCom refuses more in one message; the others take it.
MAX_TEXT_BYTES = 4000
MARKS = {"firing": "🔴", "resolved": "🟢"}


class Refused(Exception):
    """The robot did not take the message."""


def text_of(posted: dict[str, Any]) -> str:
    """Return the alerts of a notification as Markdown, as many as a robot takes. Pure.

    Those that fire come first, and how many are left out is said.
    """
    alerts = sorted(posted["alerts"], key=lambda alert: alert["status"] != "firing")
    text = ""
    for number, alert in enumerate(alerts):
        longer = "\n\n".join(filter(None, (text, _part(alert))))
        if text and len(longer.encode()) > MAX_TEXT_BYTES:
            return f"{text}\n\n… and {len(alerts) - number} more"
        text = shortened(longer)
    return text


def _part(alert: dict[str, Any]) -> str:
    texts = alert.get("annotations", {})
    name = texts.get("summary") or alert["labels"].get("alertname", "?")
    lines = [f"{MARKS.get(alert['status'], '')} **{name}** ({alert['status']})"]
    if alert["status"] == "firing":
        lines += [texts[key] for key in ("description", "runbook") if texts.get(key)]
    return "\n".join(lines)


def shortened(text: str) -> str:
    """Return as much of a text as fits, no character cut in half. Pure."""
    whole = text.encode()
    if len(whole) <= MAX_TEXT_BYTES:
        return text
    return whole[:MAX_TEXT_BYTES].decode(errors="ignore") + "…"


def title_of(posted: dict[str, Any]) -> str:
    """Return what a notification is about, in a few words. Pure."""
    names = sorted({alert["labels"].get("alertname", "?") for alert in posted["alerts"]})
    return f"{posted.get('status', '')}: {', '.join(names)}"[:80]


def signature(key: str, message: str) -> str:
    """Return the base64 of the HMAC-SHA256 that DingTalk and Feishu ask for. Pure."""
    made = hmac.new(key.encode(), message.encode(), hashlib.sha256).digest()
    return base64.b64encode(made).decode()


def wecom(robot: dict, posted: dict, _now: float) -> tuple[str, dict]:
    """Return URL and body for a group robot of WeCom. Pure."""
    return robot["url"], {"msgtype": "markdown", "markdown": {"content": text_of(posted)}}


def dingtalk(robot: dict, posted: dict, now: float) -> tuple[str, dict]:
    """Return URL and body for a custom robot of DingTalk, signed where it has a secret. Pure."""
    url = robot["url"]
    if robot.get("secret"):
        moment = str(round(now * 1000))
        sign = quote_plus(signature(robot["secret"], f"{moment}\n{robot['secret']}"))
        url += f"{'&' if '?' in url else '?'}timestamp={moment}&sign={sign}"
    # A single line break is none in its Markdown.
    text = text_of(posted).replace("\n", "  \n")
    return url, {"msgtype": "markdown", "markdown": {"title": title_of(posted), "text": text}}


def feishu(robot: dict, posted: dict, now: float) -> tuple[str, dict]:
    """Return URL and body for a custom bot of Feishu, signed where it has a secret. Pure."""
    card = {
        "header": {"title": {"tag": "plain_text", "content": title_of(posted)}},
        "elements": [{"tag": "markdown", "content": text_of(posted)}],
    }
    body: dict[str, Any] = {"msg_type": "interactive", "card": card}
    if robot.get("secret"):
        moment = str(int(now))
        body["timestamp"] = moment
        body["sign"] = signature(f"{moment}\n{robot['secret']}", "")
    return robot["url"], body


# Each kind of robot, and the field in which it says 0 once it took the message.
KINDS = {"wecom": (wecom, "errcode"), "dingtalk": (dingtalk, "errcode"), "feishu": (feishu, "code")}


def hand_over(robot: dict, posted: dict) -> None:
    """Give a notification to a robot; raises Refused where it does not take it."""
    make, field = KINDS[robot["kind"]]
    url, body = make(robot, posted, time.time())
    headers = {"Content-Type": "application/json; charset=utf-8"}
    # The inventory's own address, which begins with http (plugin_utils/monitoring/alertmanager.py).
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310
    try:
        with urllib.request.build_opener().open(request, timeout=ROBOT_SECONDS) as answer:
            said = json.loads(answer.read(MAX_BODY_BYTES))
    except (OSError, ValueError) as error:
        # Not the error's text: it may hold the URL, which is the robot's password.
        reason = f"HTTP {error.code}" if hasattr(error, "code") else type(error).__name__
        raise Refused(reason) from None
    if not isinstance(said, dict) or said.get(field) != 0:
        raise Refused(f"it says {json.dumps(said)[:200]}")


class Handler(http.server.BaseHTTPRequestHandler):
    """Takes notifications from Alertmanager."""

    robots: dict[str, dict] = {}
    timeout = CLIENT_SECONDS

    def do_GET(self) -> None:
        """Say that the program is alive."""
        self._send(200, "alert_relay\n")

    def do_POST(self) -> None:
        """Hand a notification to the robot that the path names."""
        name = self.path.strip("/")
        length = int(self.headers.get("Content-Length") or 0)
        if name not in self.robots or not 0 < length <= MAX_BODY_BYTES:
            self._send(404, "no robot of that name, or no notification\n")
            return
        try:
            posted = json.loads(self.rfile.read(length))
            hand_over(self.robots[name], posted)
        except Refused as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            self._send(502, f"{error}\n")
        except (ValueError, LookupError, TypeError, AttributeError):
            self._send(400, "not a notification of Alertmanager's webhook\n")
        else:
            self._send(200, "done\n")

    def _send(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_arguments: object) -> None:
        """Say nothing of requests that went well."""


def server(port: int, robots: dict[str, dict]) -> http.server.ThreadingHTTPServer:
    """Return a server for these robots: name -> kind, url, and perhaps secret."""
    handler = type("Configured", (Handler,), {"robots": robots})
    made = http.server.ThreadingHTTPServer(("", port), handler)
    made.daemon_threads = True
    return made


def main(port: str, path: str) -> None:
    """Serve with the robots of a file."""
    with open(path, encoding="utf-8") as file:
        robots = json.load(file)
    server(int(port), robots).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
