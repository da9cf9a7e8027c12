# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Redis and Sentinel, asked over their own protocol: who is the primary, and handing that over."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Any, BinaryIO

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    NotReady,
    Refused,
    Unauthorized,
    Unexpected,
    Unreachable,
)

# What Sentinel calls the cluster.
NAME = "platform"
POLL_SECONDS = 0.5


class RedisError(Exception):
    """An error that the server answered with."""


def encode(words: tuple[str, ...]) -> bytes:
    """A command as it is sent. Pure."""
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        parts.append(f"${len(word.encode())}\r\n".encode() + word.encode() + b"\r\n")
    return b"".join(parts)


def decode(stream: BinaryIO) -> Any:
    """One answer: text, a number, a list, None, or RedisError where it is one."""
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError("the connection ended within an answer")
    kind, rest = line[:1], line[1:-2].decode(errors="replace")
    if kind == b"+":
        return rest
    if kind == b"-":
        return RedisError(rest)
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode(errors="replace")
    if kind == b"*":
        return None if rest == "-1" else [decode(stream) for _number in range(int(rest))]
    raise EOFError(f"an answer that begins with {kind!r}")


class Redis:
    """One server, Redis or Sentinel."""

    def __init__(
        self, place: tuple[str, int], password: str, what: str, timeout: float = 5
    ) -> None:
        self.place, self.password, self.what, self.timeout = place, password, what, timeout

    def __repr__(self) -> str:
        return f"Redis({self.what}, {self.place})"

    def ask(self, *words: str) -> Any:
        """Send one command on a connection of its own and return its answer."""
        try:
            with (
                socket.create_connection(self.place, self.timeout) as connection,
                connection.makefile("rb") as stream,
            ):
                connection.sendall(encode(("AUTH", self.password)) + encode(words))
                admitted, answer = decode(stream), decode(stream)
        except (OSError, EOFError, ValueError) as error:
            raise Unreachable(
                f"{self.what} does not answer on port {self.place[1]} of this host ({error})",
                "a running member",
                f"inspect the container of {self.what} on this host",
            ) from error
        if isinstance(admitted, RedisError):
            raise Unauthorized(
                f"{self.what} does not accept the password ({admitted})",
                "the secret redis_password that it was started with",
                "restore that secret, or run the playbook",
            )
        if isinstance(answer, RedisError):
            raise Refused(
                f"{self.what} refuses {' '.join(words[:2])}: {answer}",
                "success",
                "wait until its replicas are connected, then run the playbook again",
            )
        return answer


@dataclass(frozen=True)
class Member:
    """A Redis as it sees itself."""

    role: str  # primary, replica
    primary: str  # whom a replica follows, address:port
    is_linked: bool  # whether it really does
    replicas: int  # how many follow a primary

    def __str__(self) -> str:
        if self.role == "primary":
            return f"primary of {self.replicas}"
        return f"replica of {self.primary}{'' if self.is_linked else ', not connected'}"


def read_role(answer: Any) -> Member:
    """What `ROLE` says. Pure."""
    try:
        if answer[0] == "master":
            return Member("primary", "", True, len(answer[2]))
        if answer[0] == "slave":
            where = f"{answer[1]}:{answer[2]}"
            return Member("replica", where, answer[3] == "connected", 0)
    except (IndexError, TypeError) as error:
        raise Unexpected(f"Redis describes its role as {answer!r}", "ROLE's answer", "") from error
    raise Unexpected(f"Redis says that it is {answer[0]!r}", "master or slave", "name its port")


@dataclass(frozen=True)
class View:
    """The cluster as one Sentinel sees it."""

    primary: str
    flags: tuple[str, ...]
    replicas: int
    sentinels: int  # all of them, this one too

    @property
    def is_well(self) -> bool:
        return not {"s_down", "o_down", "disconnected", "failover_in_progress"} & {*self.flags}


def read_view(answer: Any) -> View:
    """What `SENTINEL MASTER` says. Pure."""
    try:
        fields = dict(zip(answer[::2], answer[1::2]))  # noqa: B905  targets may run Python 3.9
        return View(
            f"{fields['ip']}:{fields['port']}",
            tuple(fields["flags"].split(",")),
            int(fields["num-slaves"]),
            int(fields["num-other-sentinels"]) + 1,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unexpected(
            f"Sentinel describes the cluster in an unknown way ({error!r})",
            "the fields of SENTINEL MASTER",
            "use Redis 6 or newer",
        ) from error


class ClusterHost:
    """Redis and Sentinel of one host."""

    def __init__(self, redis: Redis, sentinel: Redis) -> None:
        self.redis, self.sentinel = redis, sentinel

    def member(self) -> Member:
        return read_role(self.redis.ask("ROLE"))

    def view(self) -> View:
        return read_view(self.sentinel.ask("SENTINEL", "MASTER", NAME))

    def fail_over(self) -> None:
        self.sentinel.ask("SENTINEL", "FAILOVER", NAME)

    def deregister_others(self) -> None:
        """Have this Sentinel find out anew who there is."""
        self.sentinel.ask("SENTINEL", "RESET", NAME)

    def wait(self, is_done, seconds: float, expected: str) -> Member:
        """Ask until member and view are as expected."""
        ends_at = time.monotonic() + seconds
        while True:
            try:
                member, view = self.member(), self.view()
                seen = (
                    f"this one is {member}; Sentinel counts {view.sentinels} Sentinels and "
                    f"{view.replicas} replicas of {view.primary} ({', '.join(view.flags)})"
                )
                if is_done(member, view):
                    return member
            except (Unreachable, Refused) as error:
                seen = error.found
            if time.monotonic() > ends_at:
                raise NotReady(
                    f"after {seconds:g} s: {seen}",
                    expected,
                    "read the logs of the containers redis and redis_sentinel on this host",
                )
            time.sleep(POLL_SECONDS)
