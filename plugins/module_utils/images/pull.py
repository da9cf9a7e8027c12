# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Pulls an image from the first registry that gives it, for this host's architecture."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.images import registry_login, sources
from ansible_collections.intranet.mcp.plugins.module_utils.images.archive import (
    CommandError,
    Engine,
)
from ansible_collections.intranet.mcp.plugins.module_utils.images.registry import (
    Registries,
    RegistryError,
)
from ansible_collections.intranet.mcp.plugins.module_utils.images.sources import Place


class Puller:
    """Pulls with the site's logins and names what came as the platform does."""

    def __init__(self, engine: Engine, logins: list[dict]) -> None:
        self.engine = engine
        self.logins = logins

    def pull(
        self, title: str, places: list[Place], reference: str, log: str, problem
    ) -> tuple[Place, str]:
        """Return the place that had it, and the digest. Raises CommandError with all reasons.

        problem: says of an image's facts why it is not the wanted one, or nothing.
        """
        reasons = []
        with registry_login.environment(self.logins) as variables:
            for place in places:
                try:
                    return place, self._pull(title, place, reference, log, variables, problem)
                except CommandError as error:
                    reasons.append(f"{place}: {self._reason(place, error)}")
        raise CommandError("; ".join(reasons), [])

    def has_other(self, place: Place, digest: str) -> bool:
        """Tell whether a registry has another image than the one of this digest now."""
        try:
            return Registries(self.logins).digest(place) not in ("", digest)
        except RegistryError:
            return False  # what is there goes on serving

    def _pull(self, title, place, reference, log, variables, problem) -> str:
        source = str(place)
        was_there = self.engine.facts(source) is not None
        self.engine.pull(title, source, log, variables)
        facts = self.engine.facts(source)
        if not facts:
            raise CommandError("the engine pulled it and does not have it: run again", [])
        try:
            if found := problem(facts):
                raise CommandError(found, [])
            self.engine.tag(source, reference)
        finally:
            # The platform's own name keeps the image; another one would keep it for ever.
            if not was_there:
                self.engine.remove(source)
        return sources.digest_at(place, facts["digests"])

    def _reason(self, place: Place, error: CommandError) -> str:
        """The engine says of a digest only that it is unknown; the registry knows what it has."""
        if place.digest:
            try:
                Registries(self.logins).digest(place)
            except RegistryError as reason:
                return str(reason)
        return (error.tail or [str(error)])[-1]
