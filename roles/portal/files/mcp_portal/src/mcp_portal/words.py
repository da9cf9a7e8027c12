"""Texts in each language, and which of them a browser wants."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from starlette.requests import Request

LANGUAGES = {"en": "English", "zh": "中文"}
# As browsers and readers of pages aloud know them.
TAGS = {"en": "en", "zh": "zh-CN"}
COOKIE = "portal_language"


@cache
def texts(language: str) -> dict[str, str]:
    """Return every text of a language."""
    path = Path(__file__).with_name("locale") / f"{language}.yml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def say(language: str, key: str, **values: object) -> str:
    """Return a text with its values in place."""
    return texts(language)[key].format(**values)


def language_of(request: Request) -> str:
    """Return the language that was chosen, else the first that the browser asks for."""
    chosen = request.cookies.get(COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    for part in request.headers.get("accept-language", "").split(","):
        language = part.partition(";")[0].strip().partition("-")[0].lower()
        if language in LANGUAGES:
            return language
    return "en"
