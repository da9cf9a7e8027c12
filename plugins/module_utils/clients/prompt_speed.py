# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How fast a model reads, and when a CLI's first word follows from that.

Runs in bundles, too: any Python of 3.8 or later, no imports of the collection.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

# Words of the prompts that are timed. A CPU is known after the first; a GPU reads it in no time.
SIZES = (64, 512)
ENOUGH_SECONDS = 1.0
_LEAST_SECONDS = 0.001


def tokens_per_second(ask: Callable[[str], int]) -> float:
    """Return how many tokens of a prompt a model reads in a second.

    ask: sends a text, and returns how many tokens the prompt had when the first one of the answer
    is there. What a question takes that has hardly a word is left out of the account, and the
    first one of all, for which the model may have been loaded.
    """
    ask(text_of(1))
    tokens, seconds = least_tokens, least_seconds = _timed(ask, 1)
    for words in SIZES:
        tokens, seconds = _timed(ask, words)
        if seconds > ENOUGH_SECONDS:
            break
    return max(tokens - least_tokens, 1) / max(seconds - least_seconds, _LEAST_SECONDS)


def _timed(ask: Callable[[str], int], words: int) -> tuple[int, float]:
    text = text_of(words)
    started = time.monotonic()
    return ask(text), time.monotonic() - started


def text_of(words: int) -> str:
    """Return a prompt whose beginning no model server has in its cache."""
    return f"{secrets.token_hex(8)} {'word ' * words}Say hello."


def sentence(speed: float, tokens: dict[str, int]) -> str:
    """Say when the first word comes. tokens: of each CLI's opening prompt, its tools included."""
    waits = ", ".join(f"{cli} {seconds_of(speed, size)} s" for cli, size in tokens.items())
    return f"{speed:.0f} tokens/s: {waits}"


def seconds_of(speed: float, tokens: int) -> int:
    """Return how long a prompt takes to be read, in whole seconds."""
    return round(tokens / speed)
