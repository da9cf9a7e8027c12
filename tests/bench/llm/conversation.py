# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Claude Code's requests, turn after turn, and how long the first word of each answer takes."""

from __future__ import annotations

import http.client
import json
import time
from urllib.parse import urlsplit

import support

support.make_collection_importable()

from ansible_collections.intranet.mcp.plugins.module_utils.clients import client_requests  # noqa: E402

SHAPES = json.loads((support.REPOSITORY / "roles/clients/files/requests.json").read_text())
ANSWER_TOKENS, TOOLS = 24, 100
RESULT_BYTES = 120  # of what a tool says to an agent, short as the rest
TIMEOUT_SECONDS = 1800
# The first of these that an answer holds is its first word, or the end of an empty one.
FIRST = (b"event: content_block_delta", b"event: message_delta", b'"content"')


def opening(model: str, person: str, longest: int) -> dict:
    """Return the first request of a conversation."""
    shape = SHAPES["claude"]
    request = client_requests.request_from(shape, model, ANSWER_TOKENS, longest, TOOLS)
    body = request["body"]
    body["messages"][0]["content"][-1]["text"] = f"I am {person}. Tell me what this code does."
    return body


def first_word(url: str, path: str, body: dict, headers: dict) -> tuple[float, str]:
    """Send a request; return the seconds to the first word of the answer, and the answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_SECONDS)
    content = json.dumps(body).encode()
    began = time.monotonic()
    connection.request("POST", path, content, {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    seconds, lines = None, []
    for line in response:
        if seconds is None and any(word in line for word in FIRST):
            seconds = time.monotonic() - began
        lines.append(line)
    connection.close()
    answer = b"".join(lines).decode()
    if response.status != 200 or seconds is None:
        raise SystemExit(f"{url}{path} answered {response.status}, expected words: {answer[:1000]}")
    return seconds, answer


class Conversation:
    """One person's conversation with one LiteLLM."""

    def __init__(self, url: str, key: str, body: dict, session: str) -> None:
        self.url, self.body = url, body
        self.headers = {"Authorization": f"Bearer {key}", "x-claude-code-session-id": session}

    def turn(self) -> float:
        """Ask, remember the answer, and return the seconds to its first word."""
        seconds, answer = first_word(self.url, "/v1/messages", self.body, self.headers)
        result = "ipsum " * (RESULT_BYTES // 6)
        self.body["messages"] += [
            {"role": "assistant", "content": text_of(answer) or "."},
            {"role": "user", "content": result},
        ]
        return seconds


def text_of(answer: str) -> str:
    """Return the words of a streamed answer."""
    events = [json.loads(line[6:]) for line in answer.splitlines() if line.startswith("data: {")]
    return "".join(event.get("delta", {}).get("text") or "" for event in events).strip()
