# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A steady load of everything people do: some requests on connections of their own, and 50 a second
on connections that are kept, as HTTP libraries do.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
import traceback
from dataclasses import dataclass

from hosts import Answer
from mcp_messages import INITIALIZE, INITIALIZED
from persistent import CLIENTS, REQUESTS_PER_SECOND, PersistentClients
from persistent import Request as Kept

PAUSE_SECONDS = 0.3
# A chat costs LiteLLM forty times what a tool call costs the gateway; two clients chat.
CHATTING, CHATS_PER_SECOND = 2, 2
KEPT_SECONDS = 30  # a kept connection that nobody answers on is given up
SCRIPTED = "scripted"
SCRIPTED_ANSWER = "One two three."
COUNT = {"name": "example__count", "arguments": {"text": "one two"}}


@dataclass(frozen=True)
class Request:
    """One request that was made."""

    kind: str
    began: float
    ended: float
    problem: str

    @property
    def is_good(self):
        return not self.problem


class Load:
    """Runs from `with` to its end; what it saw is in `requests`.

    model: what chats are asked of; of another model than the scripted one any answer will do.
    """

    def __init__(self, client, model=SCRIPTED):
        self.client, self.requests = client, []
        self.model = model
        self._ended = threading.Event()
        kinds = {
            "mcp call": self._call_in_session,
            "sse": self._call_over_sse,
            "chat": self._chat,
            "chat stream": self._chat_stream,
        }
        self.kinds = list(kinds)
        self._numbers = itertools.count(2)
        self._session = {}
        self._threads = [
            threading.Thread(target=self._run, args=item, daemon=True) for item in kinds.items()
        ]
        self._kept = [
            self._persistent(
                "kept mcp call",
                self._kept_call,
                CLIENTS - CHATTING,
                REQUESTS_PER_SECOND - CHATS_PER_SECOND,
            ),
            self._persistent("kept chat", self._kept_chat, CHATTING, CHATS_PER_SECOND),
        ]

    def __enter__(self):
        self._session = self._open_session()
        for part in [*self._threads, *self._kept]:
            part.start()
        self.more(5)
        return self

    def __exit__(self, *_error):
        self._ended.set()
        for clients in self._kept:
            clients.stop()
        for thread in self._threads:
            thread.join(120)

    def more(self, count, seconds=120):
        """Wait until every kind has succeeded this many times more."""
        since = time.monotonic()
        ends_at = since + seconds
        while True:
            good = [r.kind for r in list(self.requests) if r.began > since and r.is_good]
            if all(good.count(kind) >= count for kind in self.kinds):
                return
            if time.monotonic() > ends_at:
                counts = {kind: good.count(kind) for kind in self.kinds}
                problems = {r.problem for r in self.requests if not r.is_good}
                raise AssertionError(f"within {seconds} s only {counts}; problems: {problems}")
            time.sleep(0.1)

    def last(self, seconds):
        """Let the load run on for as long as a fault is defined to last."""
        self._ended.wait(seconds)

    def _run(self, kind, action):
        while not self._ended.is_set():
            began = time.monotonic()
            try:
                problem = action() or ""
            except Exception as error:
                problem = traceback.format_exception_only(error)[-1].strip()
            self.requests.append(Request(kind, began, time.monotonic(), problem))
            self._ended.wait(PAUSE_SECONDS)

    def _open_session(self):
        opened = self.client.send("/mcp", INITIALIZE)
        assert opened.status == 200, opened.text
        session = {"MCP_Protocol_Version": "2025-06-18"}
        session["Mcp_Session_Id"] = opened.headers["Mcp-Session-Id"]
        assert self.client.send("/mcp", INITIALIZED, **session).status == 202
        return session

    def _persistent(self, kind, request, clients, per_second):
        self.kinds.append(kind)

        def record(*seen):
            self.requests.append(Request(kind, *seen))

        def connect():
            return self.client.connect(KEPT_SECONDS)

        return PersistentClients(connect, request, record, clients, per_second)

    def _kept_call(self):
        return self._kept_request("/mcp", self._call(), _problem_of, self._session)

    def _kept_chat(self):
        return self._kept_request("/v1/chat/completions", self._question(), self._problem_of_chat)

    def _kept_request(self, path, body, problem, more=None):
        def judge(response):
            return _problem_of_answer(Answer(response), problem)

        return Kept("POST", path, json.dumps(body), self.client.headers(None, more or {}), judge)

    def _call(self):
        numbered = {"jsonrpc": "2.0", "id": next(self._numbers)}
        return {**numbered, "method": "tools/call", "params": COUNT}

    def _call_in_session(self):
        answer = self.client.send("/mcp", self._call(), **self._session)
        return _problem_of_answer(answer, _problem_of)

    def _question(self):
        """Begin a conversation of its own: LiteLLM keeps one conversation on one Ollama."""
        content = f"Count to {next(self._numbers)}."
        messages = [{"role": "user", "content": content}]
        return {"model": self.model, "messages": messages, "max_tokens": 8}

    def _chat(self):
        answer = self.client.send("/v1/chat/completions", self._question())
        return _problem_of_answer(answer, self._problem_of_chat)

    def _problem_of_chat(self, body):
        content = body["choices"][0]["message"]["content"]
        is_right = content == SCRIPTED_ANSWER if self.model == SCRIPTED else content
        return "" if is_right else f"answered {content!r}"

    def _chat_stream(self):
        answer = self.client.send("/v1/chat/completions", {**self._question(), "stream": True})
        is_whole = answer.status == 200 and answer.text.rstrip().endswith("data: [DONE]")
        return "" if is_whole else f"HTTP {answer.status}: {answer.text[-200:]}"

    def _call_over_sse(self):
        """Open the old transport's stream, call a tool through it, close it."""
        connection = self.client.connect()
        try:
            connection.request("GET", "/sse", headers=self.client.headers(None, {}))
            stream = connection.getresponse()
            if stream.status != 200:
                return f"HTTP {stream.status} of the stream"
            path = _event(stream)
            for message in (
                INITIALIZE,
                INITIALIZED,
                {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": COUNT},
            ):
                posted = self.client.send(path, message)
                if posted.status != 202:
                    return f"HTTP {posted.status} of a message: {posted.text[:200]}"
                if "id" in message:
                    answer = json.loads(_event(stream))
                    if answer["id"] != message["id"]:
                        return f"an answer to {answer['id']}, not to {message['id']}"
            return _problem_of(answer)
        finally:
            connection.close()


def _event(stream):
    """Return the data of the next event."""
    while line := stream.readline():
        if line.startswith(b"data:"):
            return line[5:].strip().decode()
    raise ConnectionError("the stream ended")


def _problem_of_answer(answer, problem):
    """Return what is wrong with an answer; `problem` judges the body of one with status 200."""
    if answer.status != 200:
        return f"HTTP {answer.status}: {answer.text[:200]}"
    return problem(answer.body)


def _problem_of(message):
    result = message.get("result", {})
    if result.get("isError", True):
        return f"no result: {json.dumps(message)[:200]}"
    return ""


def row(name, load, since, cut_at=None):
    """Return a line of the table: what happened to requests that ended after `since`.

    cut_at: when a process was killed. What it was doing then cannot be saved, and is counted apart.
    """
    seen = [request for request in load.requests if request.ended >= since]
    bad = [request for request in seen if not request.is_good]
    cut = [request for request in bad if cut_at and request.began <= cut_at]
    gaps = []
    for kind in load.kinds:
        ends = sorted(r.ended for r in load.requests if r.kind == kind and r.is_good)
        gaps += [b - a for a, b in itertools.pairwise(ends) if b >= since]
    return {
        "fault": name,
        "requests": len(seen),
        "failed": len(bad) - len(cut),
        "cut": len(cut),
        "longest_gap_seconds": round(max(gaps, default=0), 1),
        "problems": sorted({f"{r.kind}: {r.problem}" for r in bad if r not in cut}),
    }


def table(rows):
    """Return the rows as text."""
    line = "{:<46} {:>9} {:>7} {:>5} {:>12}"
    text = [line.format("fault", "requests", "failed", "cut", "longest gap")]
    for found in rows:
        gap = f"{found['longest_gap_seconds']} s"
        text.append(
            line.format(found["fault"], found["requests"], found["failed"], found["cut"], gap)
        )
        text += [f"    {problem}" for problem in found["problems"]]
    return "\n".join(text)
