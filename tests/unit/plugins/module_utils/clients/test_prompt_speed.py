# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.clients import prompt_speed


class Model:
    """Reads so many tokens a second, after it was loaded; time passes by its word alone."""

    def __init__(self, speed, loads=0.0, overhead=0.0):
        self.speed, self.loads, self.overhead = speed, loads, overhead
        self.now, self.texts = 0.0, []

    def ask(self, text):
        self.now += self.overhead + (0 if self.texts else self.loads)
        self.texts.append(text)
        tokens = 30 + len(text.split())
        self.now += tokens / self.speed
        return tokens


@pytest.fixture
def measured(monkeypatch):
    def measure(model):
        monkeypatch.setattr(prompt_speed.time, "monotonic", lambda: model.now)
        return prompt_speed.tokens_per_second(model.ask)

    return measure


@pytest.mark.parametrize(("speed", "asked"), [(20, 3), (48, 3), (5000, 4)])
def test_the_time_to_load_and_to_pass_a_request_on_is_no_reading(measured, speed, asked):
    model = Model(speed, loads=30, overhead=0.4)
    assert measured(model) == pytest.approx(speed)
    assert len(model.texts) == asked, "a slow model is not asked to read a long prompt"


def test_no_prompt_begins_like_another_which_a_cache_would_know(measured):
    model = Model(1000)
    measured(model)
    beginnings = {text[:8] for text in model.texts}
    assert len(beginnings) == len(model.texts)


def test_a_clock_that_saw_no_difference_gives_a_number(measured):
    assert measured(Model(1e12)) > 0


def test_the_sentence_has_every_cli_with_its_wait():
    tokens = {"claude": 19659, "codex": 10562}
    assert prompt_speed.sentence(48, tokens) == "48 tokens/s: claude 410 s, codex 220 s"
