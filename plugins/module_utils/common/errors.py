# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Errors that tell an operator what was found, what was expected and what to do next."""

from __future__ import annotations

from typing import NoReturn


class ServiceError(Exception):
    """A resource, a file or an inventory cannot be used as it stands.

    Clients raise it, `main()` turns it into one `fail_json`. `reason` is a stable word that plays
    and tests may branch on; the sentence is for people.
    """

    reason = "failed"

    def __init__(self, found: str, expected: str, action: str) -> None:
        super().__init__(found, expected, action)
        self.found = found
        self.expected = expected
        self.action = action

    def __str__(self) -> str:
        return f"{self.found}, expected {self.expected}: {self.action}"

    def as_dict(self) -> dict[str, str]:
        """Return what `fail_json` reports beside the message."""
        return {
            "reason": self.reason,
            "found": self.found,
            "expected": self.expected,
            "action": self.action,
        }


class Unreachable(ServiceError):
    """Nothing answered at the address."""

    reason = "unreachable"


class TimedOut(ServiceError):
    """The service was reached and then stayed silent for longer than allowed."""

    reason = "timed_out"


class NotReady(ServiceError):
    """The service answers, but something it needs (a database, say) does not."""

    reason = "not_ready"


class Unauthorized(ServiceError):
    """The service does not accept the given key."""

    reason = "unauthorized"


class Unknown(ServiceError):
    """The request names something the service does not have."""

    reason = "unknown"


class Refused(ServiceError):
    """The service or this collection does not accept the request as it stands."""

    reason = "refused"


class NoSpace(ServiceError):
    """There is too little disk space."""

    reason = "no_space"


class Stalled(ServiceError):
    """A transfer stopped making progress."""

    reason = "stalled"


class Mismatch(ServiceError):
    """What arrived is not what was pinned."""

    reason = "mismatch"


class Unexpected(ServiceError):
    """The service answered in a way its API does not describe."""

    reason = "unexpected"


class Unusable(Exception):
    """Definitions, variables or images that cannot be used; the message says what to change."""


def fail(module, error: ServiceError, **result) -> NoReturn:
    """End the module with the error's sentence and its parts."""
    module.fail_json(msg=str(error), error=error.as_dict(), **result)


def read_key_file(path: str | None) -> str | None:
    """Return the key a file holds; None without a path."""
    if not path:
        return None
    try:
        with open(path, encoding="utf-8") as stream:
            key = stream.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unknown(
            f"the key file {path} cannot be read on this host ({error})",
            "a file with a key",
            "correct the path, or run the task as a user who may read it",
        ) from error
    if not key:
        raise Refused(f"the key file {path} is empty", "a key", "write the key into it")
    return key
