# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who gets the CLIs' settings: the people of `teams`, and their accounts on a host. Pure."""

from __future__ import annotations

import fnmatch
import re

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable

# LiteLLM's own words for "whatever there is".
_EVERY_MODEL = {"*", "all-proxy-models", "all-team-models"}


def chat_models(ollama_models: list, custom_apis: list) -> list[str]:
    """Return the names of the models that are declared and no embeddings, each once."""
    names = [
        model["name"]
        for model in ollama_models
        if not model.get("embedding") and model.get("state", "present") == "present"
    ]
    names += [api["model_name"] for api in custom_apis if api.get("mode", "chat") == "chat"]
    return list(dict.fromkeys(names))


def shared_models(people: list, declared: list, preferred: str = "") -> dict:
    """Return `models` and `model` for settings that several people of a host share."""
    models = [m for m in declared if all(m in person["models"] for person in people)]
    if not models:
        names = ", ".join(person["alias"] for person in people) or "nobody"
        raise Unusable(
            f"there is no chat model that all of {names} may use (declared: "
            f"{', '.join(declared) or 'none'}), expected at least one, because people of one host "
            "share its settings: allow them one, or put them on hosts of their own"
        )
    return {"models": models, "model": preferred if preferred in models else models[0]}


def members(teams: list, chat_models: list, only: list, preferred: str = "") -> list[dict]:
    """Return the people of all teams, each with `alias`, `team`, `email`, `models`, `model`.

    chat_models: what the site declares. only: aliases to return, empty for everybody. preferred:
    the model to choose where the person may use it, instead of the first.
    """
    people = [
        person(team, member, chat_models, preferred)
        for team in teams
        for member in team.get("members", [])
        if member.get("state", "present") == "present" and team.get("state") != "absent"
    ]
    if not people:
        raise Unusable(
            "no members were found in `teams`; expected at least one: declare teams in group_vars "
            "(see docs/en/developers.md) and run site.yml, which creates their keys"
        )
    _check_aliases([one["alias"] for one in people], only)
    chosen = [one for one in people if not only or one["alias"] in only]
    for one in chosen:
        if not one["model"]:
            raise Unusable(
                f"{one['alias']} may use no chat model: allowed are "
                f"{', '.join(one['allowed'])}, declared are {', '.join(chat_models) or 'none'}. "
                "Correct `models` of the member or the team, or name more in clients_models"
            )
    return chosen


def _check_aliases(aliases: list[str], only: list[str]) -> None:
    for alias in aliases:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", alias):
            raise Unusable(
                f"the alias {alias!r} of `teams` is no file name; expected letters, digits, '.', "
                "'_' and '-': rename it, its key and its bundle are files of that name"
            )
    twice = sorted({alias for alias in aliases if aliases.count(alias) > 1})
    if twice:
        raise Unusable(f"{', '.join(twice)} stands in `teams` twice; expected each alias once")
    unknown = sorted(set(only) - set(aliases))
    if unknown:
        raise Unusable(
            f"{', '.join(unknown)} is no member of any team; `teams` has: "
            f"{', '.join(sorted(aliases))}. Correct clients_members, or add the member"
        )


def person(team: dict, member: dict, chat_models: list, preferred: str = "") -> dict:
    """Return a member of a team, with the models that are open to them; perhaps none."""
    allowed = member.get("models") or team.get("models") or []
    is_free = not allowed or _EVERY_MODEL & set(allowed)
    models = [
        model
        for model in chat_models
        if is_free or any(fnmatch.fnmatchcase(model, pattern) for pattern in allowed)
    ]
    return {
        "alias": member["alias"],
        "email": member.get("email", ""),
        "team": team["name"],
        "allowed": allowed,
        "models": models,
        "model": preferred if preferred in models else next(iter(models), ""),
    }


def accounts(people: list, passwd: dict, mapping: dict) -> list[dict]:
    """Return {user, home, alias} of the people who have an account on a host.

    passwd: what getent tells. mapping: account -> alias, where the names differ; without it every
    member whose alias is an account is meant.
    """
    aliases = [person["alias"] for person in people]
    wanted = mapping or {alias: alias for alias in aliases if alias in passwd}
    for user, alias in wanted.items():
        if user not in passwd:
            raise Unusable(
                f"clients_accounts names {user!r}, which is no account on this host; expected a "
                "name of /etc/passwd or the directory service: create it or correct the name"
            )
        if alias not in aliases:
            raise Unusable(
                f"clients_accounts gives {user!r} the member {alias!r}; `teams` has: "
                f"{', '.join(sorted(aliases))}. Correct the alias"
            )
    return [{"user": u, "home": passwd[u][4], "alias": wanted[u]} for u in sorted(wanted)]
