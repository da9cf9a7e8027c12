# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a developer waits for: the first words of each turn, and what LiteLLM adds to that.

    make bench-llm BENCH="[--longest 200] [--turns 1,2,5] [--requests 30] [--slots 1]"

Sends the opening request of Claude Code (roles/clients/files/requests.json), then turn after turn,
to real weights in one and two Ollamas behind a LiteLLM as the role configures it; "at random" is
without prefix_affinity. Two people take turns, so that nobody waits for the other. Then the same
request goes to an Ollama that answers at once: directly, through LiteLLM, and through HAProxy and
LiteLLM. Needs the images (`make images`); nothing here is judged.

--longest   bytes of each text at most: the whole request has more tokens than this model reads.
--turns     of each conversation that are shown; all before the last are sent.
--requests  that the median of LiteLLM's own time is of.
--slots     OLLAMA_NUM_PARALLEL.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parents[1]
sys.path[:0] = [str(HERE), str(TESTS), str(TESTS / "integration/pytest")]
sys.path.append(str(HERE.parent / "gateway"))

import conftest  # noqa: E402
from conversation import Conversation, first_word, opening  # noqa: E402
from model_servers import MODEL, Servers  # noqa: E402
from process import machine  # noqa: E402

SYSTEMS = [
    # people, Ollamas, and whether a conversation is kept on one
    ("one person, one Ollama", 1, 1, True),
    ("two people, one Ollama", 2, 1, True),
    ("two people, two Ollamas", 2, 2, True),
    ("two people, two Ollamas, at random", 2, 2, False),
]
# Of the two hosts, each is the first choice of one of these.
SESSIONS = ("session-of-alice", "session-of-bob")
WARM_UP = 5


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--longest", type=int, default=200)
    parser.add_argument("--turns", type=numbers, default=[1, 2, 5])
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--slots", type=int, default=1)
    return parser.parse_args()


def prefix(servers: Servers, options: argparse.Namespace) -> None:
    """Print the seconds to the first word of each turn, of the person who waited longest."""
    columns = "".join(f"{f'turn {number}':>10s}" for number in options.turns)
    print(f"{'seconds to the first word':36s}{columns}   turn 2 / turn 1")
    for name, people, ollamas, is_kept in SYSTEMS:
        url, _container = servers.litellm(ollamas, is_kept)
        servers.reset()
        talks = [
            Conversation(url, conftest.MASTER_KEY, opening(MODEL, one, options.longest), one)
            for one in SESSIONS[:people]
        ]
        count = max(2, *options.turns)
        taken = [max([talk.turn() for talk in talks]) for _turn in range(count)]
        cells = "".join(f"{taken[number - 1]:10.2f}" for number in options.turns)
        print(f"{name:36s}{cells}{100 * taken[1] / taken[0]:11.0f} %", flush=True)


def overhead(servers: Servers, options: argparse.Namespace) -> None:
    """Print what LiteLLM and the balancer add to the first word of a model that answers at once."""
    direct, url, container = servers.scripted()
    body = opening(MODEL, "nobody", options.longest)
    key = {"Authorization": f"Bearer {conftest.MASTER_KEY}"}

    def median(url: str, path: str, count: int, body: dict = body) -> float:
        return statistics.median(first_word(url, path, body, key)[0] for _number in range(count))

    median(url, "/v1/messages", WARM_UP)
    before = servers.cpu_seconds(container)
    through = median(url, "/v1/messages", options.requests)
    cpu = (servers.cpu_seconds(container) - before) / options.requests
    # Tools are written another way there, and this one would call them.
    plain = {name: body[name] for name in ("model", "messages")}
    added = through - median(direct, "/api/chat", options.requests, plain)
    print(
        f"LiteLLM adds {1000 * added:.0f} ms to the first word and takes {1000 * cpu:.0f} ms of CPU"
    )
    balanced = servers.balancer(container)
    # One after the other, so that what else the machine does is in both.
    pairs = [
        [first_word(at, "/v1/messages", body, key)[0] for at in (url, balanced)]
        for _number in range(options.requests)
    ]
    share = statistics.median(behind - before for before, behind in pairs)
    print(f"the load balancer (HAProxy) adds {1000 * share:.1f} ms to it")


def main() -> int:
    options = arguments()
    docker = conftest.Docker()
    try:
        with tempfile.TemporaryDirectory() as folder:
            servers = Servers(docker, Path(folder), options.slots)
            size = len(str(opening(MODEL, "nobody", options.longest)))
            print(machine())
            print(f"{MODEL}, opening request of {size} bytes, slots: {options.slots}", flush=True)
            prefix(servers, options)
            overhead(servers, options)
    finally:
        docker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
