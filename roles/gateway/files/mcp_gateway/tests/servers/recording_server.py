"""A legacy stdio server that writes down every line as the most lenient reader would see it."""

from __future__ import annotations

import json
import os
import re
import sys


def say(id_: object, result: dict) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": id_, "result": result}) + "\n")
    sys.stdout.flush()


def answer(message: dict) -> None:
    method, id_ = message.get("method"), message.get("id")
    if id_ is None or method is None:
        return
    if method == "initialize":
        capabilities = {"tools": {}}
        version = message["params"]["protocolVersion"]
        info = {"name": "recording", "version": "1"}
        say(id_, {"protocolVersion": version, "capabilities": capabilities, "serverInfo": info})
    elif method == "tools/list":
        tools = [{"name": n, "inputSchema": {"type": "object"}} for n in ("allowed", "forbidden")]
        say(id_, {"tools": tools})
    else:
        say(id_, {"content": []})


with open(os.environ["RECORDING"], "ab", buffering=0) as record:
    for chunk in sys.stdin.buffer:
        # Universal newlines, as Python's own text streams have them, end a line at \r too.
        for line in re.split(rb"[\r\n]+", chunk):
            if not line:
                continue
            record.write(line + b"\n")
            try:
                answer(json.loads(line))
            except (ValueError, AttributeError):
                continue
