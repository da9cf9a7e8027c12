"""A program that signs its person in by itself, as the CLIs do."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import lab
from mcp_portal.members import Member

CALLBACK = "http://127.0.0.1:4711/callback"
RESOURCE = "https://ai.example.internal/mcp"
OTHER_RESOURCE = "https://ai.example.internal/servers/files/mcp"
SIGNING_SECRET = "a-secret-of-the-tests-from-which-a-key-follows"


def authorization(folder: Any, **changes: Any) -> dict[str, Any]:
    """The section of a portal's configuration."""
    file = folder / "signing"
    file.write_text(SIGNING_SECRET)
    resources = [RESOURCE, OTHER_RESOURCE]
    return {"authorization": {"key_file": str(file), "resources": resources, **changes}}


def arrive(portal: lab.Served, wanted: str = "overview") -> lab.Browser:
    """A browser in which sam has signed in at the faulty provider."""
    browser = lab.Browser(portal.url)
    return pass_sign_in(browser, f"/portal/sign-in?next={wanted}")


def pass_sign_in(browser: lab.Browser, path: str) -> lab.Browser:
    there = browser.get(path)
    back = browser.http.get(there.headers["location"])
    browser.arrived = browser.http.get(back.headers["location"])
    return browser


class Program:
    """A registered program."""

    def __init__(self, portal: lab.Served, callback: str = CALLBACK, **metadata: Any) -> None:
        self.base, self.callback = f"{portal.url}/portal", callback
        asked = {"client_name": "Codex", "redirect_uris": [callback], **metadata}
        self.registered = self.post("/oauth/register", json=asked)
        self.id = self.registered.json().get("client_id", "")
        self.begin()

    def begin(self) -> None:
        """Think of what is secret in one log-in."""
        self.verifier, self.state = secrets.token_urlsafe(48), secrets.token_urlsafe(8)

    def post(self, path: str, **options: Any) -> lab.httpx2.Response:
        return lab.httpx2.post(self.base + path, trust_env=False, timeout=20, **options)

    def address(self, **changes: str | None) -> str:
        """Where its person's browser is sent, below the portal's address."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self.id,
            "redirect_uri": self.callback,
            "state": self.state,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "resource": RESOURCE,
            **changes,
        }
        return "/portal/authorize?" + urlencode({k: v for k, v in asked.items() if v is not None})

    def allow(
        self, browser: lab.Browser, answer: str = "allow", address: str = "", **fields: str
    ) -> dict[str, str]:
        """What its person's browser brings back after a click on the page."""
        shown = browser.get(address or self.address())
        assert shown.status_code == 200, shown.text
        return came_back(click(browser, shown, answer, **fields), self.callback)

    def redeem(self, code: str, /, **changes: str | None) -> lab.httpx2.Response:
        asked = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": self.id,
            "redirect_uri": self.callback,
            "code_verifier": self.verifier,
            "resource": RESOURCE,
            **changes,
        }
        return self.post("/oauth/token", data={k: v for k, v in asked.items() if v is not None})

    def renew(self, token: str, **changes: str) -> lab.httpx2.Response:
        asked = {"grant_type": "refresh_token", "refresh_token": token, "client_id": self.id}
        return self.post("/oauth/token", data={**asked, **changes})

    def tokens(self, browser: lab.Browser) -> dict[str, Any]:
        """What it has once everything went well."""
        answer = self.redeem(self.allow(browser)["code"])
        assert answer.status_code == 200, answer.text
        return answer.json()


def click(
    browser: lab.Browser, shown: lab.httpx2.Response, answer: str, **fields: str
) -> lab.httpx2.Response:
    """Send the form of the page."""
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', shown.text))
    hidden["asked"] = hidden["asked"].replace("&amp;", "&")
    data = {**hidden, "answer": answer, **fields}
    return browser.http.post(f"{browser.base}/portal/authorize", data=data)


def came_back(answer: lab.httpx2.Response, callback: str) -> dict[str, str]:
    """The parameters with which a browser is led to the program's address, and nowhere else."""
    assert answer.status_code == 303, answer.text
    where, _, query = answer.headers["location"].partition("?")
    assert where == callback and not urlsplit(answer.headers["location"]).fragment
    return {name: values[0] for name, values in parse_qs(query).items()}


def error(answer: lab.httpx2.Response) -> tuple[int, str]:
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["error"]


def member(name: str, teams: list[str]) -> Member:
    return Member(name=name, teams=teams, groups=[])
