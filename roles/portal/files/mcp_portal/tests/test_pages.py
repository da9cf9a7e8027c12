"""What every page has in common: headers, languages, and texts that are there in each of them."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import get_args, get_type_hints

import lab
import mcp_portal
import pytest
from mcp_portal import status, words
from mcp_portal.pages import MENU, PEOPLE
from mcp_portal.settings import ConfigError

PACKAGE = Path(mcp_portal.__file__).parent
SOURCE_OF_REASONS = (PACKAGE / "reasons.py").read_text()
SOURCES = [*PACKAGE.glob("*.py"), *PACKAGE.glob("templates/*")]


def test_headers_forbid_scripts_frames_and_caches(portal, sign_in):
    alice = sign_in(portal, "alice")
    for name in MENU:
        answer = alice.get(f"/portal/{name}")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert "script-src" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<script|\son\w+=|\sstyle=|javascript:", answer.text)


def test_cookie_is_bound_to_https_and_hidden_from_scripts(provider, configure):
    config = configure(
        provider.issuer,
        listen={"public_url": "https://ai.example.internal", "port": lab.free_port()},
    )
    with lab.running(config) as portal:
        cookie = lab.Browser(portal.url).get("/portal/sign-in").headers["set-cookie"]
    assert cookie.startswith("__Host-portal=")
    for attribute in ("HttpOnly", "Secure", "SameSite=Lax", "Path=/"):
        assert attribute in cookie
    assert "Domain" not in cookie


def test_plain_addresses_are_refused(provider, configure):
    with pytest.raises(ConfigError, match=r"listen\.public_url.*expected an https"):
        configure(provider.issuer, listen={"public_url": "http://ai.example.internal"})
    with pytest.raises(ConfigError, match=r"oidc\.issuer.*expected an https"):
        configure("http://sso.example.internal")


def test_language_follows_the_browser_and_then_the_choice(portal):
    browser = lab.Browser(portal.url)
    chinese = {"accept-language": "fr, zh-CN;q=0.9, en;q=0.5"}
    assert 'lang="zh-CN"' in browser.get("/portal/", headers=chinese).text
    assert 'lang="en"' in browser.get("/portal/", headers={"accept-language": "fr"}).text
    chosen = browser.get("/portal/language/zh?from=https://evil.example")
    assert chosen.headers["location"] == "/portal/"
    assert "登录" in browser.get("/portal/").text


def test_languages_have_the_same_texts_with_the_same_values():
    english, chinese = words.texts("en"), words.texts("zh")
    assert english.keys() == chinese.keys()
    for key in english:
        values = [
            {part[1] for part in string.Formatter().parse(text[key]) if part[1]}
            for text in (english, chinese)
        ]
        assert values[0] == values[1], key


def test_every_text_is_used_and_every_used_one_is_there():
    source = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    used = set(re.findall(r'\bt\("(\w+)"', source)) | set(re.findall(r"\bt\('(\w+)'", source))
    used |= {f"problem_{key}" for key in re.findall(r'Problem\(\s*"(\w+)"', source)}
    used |= set(re.findall(r'words\.say\("en", "(\w+)"', source))
    menu = [*MENU, PEOPLE]
    used |= {f"menu_{name}" for name in menu} | {f"about_{name}" for name in menu[1:]}
    used |= {f"checked_{unit}" for unit in ("now", *dict(status.UNITS))}
    states = {"state": status.Part, "check": status.Check}
    used |= {f"{of}_{word}" for of, kind in states.items() for word in _words_of(kind)}
    used |= {f"status_{word}" for word in get_args(get_type_hints(status.Part)["kind"])}
    used |= {
        f"why_{key}"
        for key in re.findall(r'"((?:model|server|tool)_\w+|rule\w*|default)"', SOURCE_OF_REASONS)
    }
    used |= {f"service_{name}" for name in ("address", "models", "tools", "sign_in")}
    used -= {text for text in used if text.endswith("_")}
    assert used == set(words.texts("en"))


def _words_of(kind):
    hints = get_type_hints(kind)
    return get_args(hints.get("state") or hints["status"])


def test_checks_name_what_is_broken(portal, provider, litellm, gateway, configure):
    assert lab.Browser(portal.url).get("/checks").json() == {"status": "ok"}
    with lab.running(configure(provider.issuer, port=lab.free_port())) as other:
        litellm.status = 401
        gateway.served.stop()
        found = lab.Browser(other.url).get("/checks").json()
    assert found["status"] == "failed"
    assert found.keys() == {"status", "litellm", "gateway", "problems"}
    assert found["problems"] == {"litellm": "litellm_refused", "gateway": "gateway_away"}
    assert "HTTP 401" in found["litellm"] and "does not answer" in found["gateway"]


def test_unknown_page_is_said_so(portal):
    assert "There is no such page" in lab.Browser(portal.url).get("/portal/nothing").text


@pytest.mark.parametrize("ground", ["light", "dark"])
def test_colours_have_enough_contrast(ground):
    """WCAG 2.1, 1.4.3: 4.5 to 1 for text."""
    style = (PACKAGE / "static/style.css").read_text()
    found = re.findall(r"--([\w-]+): (#\w+)", style)
    half = len(found) // 2
    colours = dict(found[:half] if ground == "light" else found[half:])
    pairs = [(ink, "ground") for ink in ("ink", "dim", "accent", "danger")]
    pairs += [(ink, "raised") for ink in ("ink", "dim", "accent")] + [("on-accent", "accent")]
    for ink, paper in pairs:
        assert _contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
