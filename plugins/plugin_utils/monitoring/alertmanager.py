# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Alertmanager's configuration, out of a list of receivers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.text import as_yaml

# Chat robots, each with the address that its group gave it, and perhaps the secret that signs.
ROBOTS = ("wecom", "dingtalk", "feishu")
ROBOT_KEYS = {"url", "secret"}
KEYS = {"name", "webhook", "email", "watchdog", *ROBOTS}
EMAIL_KEYS = {"to", "from", "smarthost", "username", "password", "require_tls"}
EMAIL_NEEDS = ("to", "from", "smarthost")
NOBODY = "nobody"
WATCHDOG = "Watchdog"


class ReceiverError(ServiceError):
    """A receiver cannot be configured."""

    reason = "monitoring"


def config(receivers: list[dict] | None, repeat_hours: int = 4, relay: str = "") -> str:
    """Render alertmanager.yml: every receiver gets every alert, and only who asks the watchdog.

    relay: URL of the program that hands alerts to chat robots.
    """
    receivers = receivers or []
    for error in refused(receivers):
        raise error
    of_watchdog = [r["name"] for r in receivers if r.get("watchdog")]
    made = {
        "route": {
            "receiver": NOBODY,
            "group_by": ["alertname", "service"],
            "group_wait": "15s",
            "group_interval": "1m",
            "repeat_interval": f"{repeat_hours}h",
            "routes": [
                {
                    "matchers": [f'alertname="{WATCHDOG}"'],
                    "receiver": NOBODY,
                    "group_interval": "1m",
                    "repeat_interval": "1m",
                    "routes": [_route(name) for name in of_watchdog],
                },
                *(_route(receiver["name"]) for receiver in receivers),
            ],
        },
        "receivers": [{"name": NOBODY}, *(_receiver(receiver, relay) for receiver in receivers)],
    }
    return as_yaml(made)


def _route(name: str) -> dict:
    return {"receiver": name, "continue": True}


def robots(receivers: list[dict] | None) -> dict[str, dict]:
    """Return the robots by the path at which the relay hands alerts to each."""
    return {
        _path(receiver, kind): {"kind": kind, **receiver[kind]}
        for receiver in receivers or []
        if isinstance(receiver, dict)
        for kind in ROBOTS
        if isinstance(receiver.get(kind), dict)
    }


def _path(receiver: dict, kind: str) -> str:
    return quote(f"{receiver.get('name', '?')}-{kind}", safe="")


def _receiver(receiver: dict, relay: str) -> dict:
    made = {"name": receiver["name"]}
    urls = [receiver["webhook"]] if "webhook" in receiver else []
    urls += [f"{relay}/{_path(receiver, kind)}" for kind in ROBOTS if kind in receiver]
    if urls:
        made["webhook_configs"] = [{"url": url, "send_resolved": True} for url in urls]
    if "email" in receiver:
        made["email_configs"] = [_email(receiver["email"])]
    return made


def _email(email: dict) -> dict:
    names = {"username": "auth_username", "password": "auth_password"}
    return {
        "send_resolved": True,
        **{names.get(key, key): value for key, value in email.items()},
        # In one's own network a relay is often without TLS, and then says so here.
        "require_tls": email.get("require_tls", True),
    }


def refused(receivers: list[dict] | None) -> Iterator[ReceiverError]:
    """Return why each receiver that cannot be configured cannot be.

    A list of which every line is commented out is None in YAML.
    """
    receivers = receivers or []
    names = [receiver.get("name") for receiver in receivers if isinstance(receiver, dict)]
    for number, receiver in enumerate(receivers):
        try:
            _check(receiver)
            if receiver["name"] in names[:number]:
                _refuse(receiver["name"], "is there twice", "give each a name of its own")
        except ReceiverError as error:
            yield error


def _check(receiver: dict) -> None:
    """Raise ReceiverError for a receiver that cannot be configured."""
    if not isinstance(receiver, dict):
        _refuse("an entry", "is no mapping", "write it as {name: ..., webhook: ...}")
    name = receiver.get("name") or "?"
    if unknown := sorted(set(receiver) - KEYS):
        _refuse(name, f"has the key {unknown[0]!r}", "correct its name, or leave it out")
    if not receiver.get("name") or name == NOBODY:
        _refuse(name, "has no name of its own", "give it one")
    if not {"webhook", "email", *ROBOTS} & set(receiver):
        _refuse(name, "has neither webhook nor email nor a robot", "add one of them")
    if "webhook" in receiver and not _is_url(receiver["webhook"]):
        _refuse(name, "has a webhook that is no web address", "begin it with http:// or https://")
    if "email" in receiver:
        _check_email(name, receiver["email"])
    for kind in ROBOTS:
        if kind in receiver:
            _check_robot(name, kind, receiver[kind])


def _check_email(name: str, email: dict) -> None:
    if not isinstance(email, dict):
        _refuse(name, "has an email that is no mapping", "give it as {to: ..., smarthost: ...}")
    if unknown := sorted(set(email) - EMAIL_KEYS):
        _refuse(name, f"has the key {unknown[0]!r}", "correct its name, or leave it out")
    if missing := [key for key in EMAIL_NEEDS if not email.get(key)]:
        _refuse(name, f"has an email without {missing[0]!r}", "add it")
    if not re.fullmatch(r".+:[0-9]+", str(email["smarthost"])):
        _refuse(name, "has a smarthost without a port", "write it as smtp.example.internal:587")


def _check_robot(name: str, kind: str, robot: dict) -> None:
    if not isinstance(robot, dict) or not _is_url(robot.get("url")):
        _refuse(name, f"has a {kind} without a web address as its 'url'", "give it as {url: ...}")
    if unknown := sorted(set(robot) - ROBOT_KEYS):
        _refuse(name, f"has a {kind} with the key {unknown[0]!r}", "it takes url and secret")


def _is_url(text: object) -> bool:
    return isinstance(text, str) and bool(re.match(r"https?://[^/]", text))


def _refuse(name: str, found: str, action: str) -> None:
    raise ReceiverError(
        f"prometheus_receivers: {name} {found}",
        "name, and webhook, email (to, from, smarthost, perhaps username, password, require_tls), "
        f"{', '.join(ROBOTS)} (each url, perhaps secret)",
        action,
    )
