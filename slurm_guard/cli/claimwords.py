"""The nearest claim that would be understood, for one that is not: a suggestion, never put in its place."""

import difflib
import re
from collections.abc import Callable

from slurm_guard.intent import KEYS, SERVING, TRAINING, UNITS, check_claims
from slurm_guard.networks import parse_net

_HOST = re.compile(r"((?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?)(?::([0-9]{1,5}))?")
KINDS = sorted(
    TRAINING | SERVING | {"notebook", "debug", "benchmark", "evaluation", "simulation", "interactive"}
)


def problems_of(key: str, value: str) -> list[str]:
    """What the audit would say of one claim, and what it would take and find nowhere."""
    said: list[str] = []
    intent = check_claims({key: value}, None, said)
    return said or useless_places(intent.egress)


def useless_places(egress: tuple[str, ...] | None) -> list[str]:
    """Destinations that the audit takes as they are and that no connection can have."""
    places = egress or ()
    if "none" in places and len(places) > 1:
        return ["egress: none stands alone, or not at all"]
    return [f"egress: {place[:80]!a} is no host, host:port or network" for place in places if _is_odd(place)]


def _is_odd(place: str) -> bool:
    try:
        parse_net(place)
    except ValueError:
        match = _HOST.fullmatch(place)
        number = match is not None and match[1].rpartition(".")[2].isdecimal()  # 300.1.2.3 is no name
        return match is None or number or not 0 < int(match[2] or 1) < 65_536
    return False


def nearest(key: str, value: str) -> str | None:
    """A value that is understood and was probably meant; null: none comes to mind."""
    guesses: dict[str, Callable[[str], list[str]]] = {
        "kind": _kinds,
        "target": _targets,
        "budget": _budgets,
        "egress": _places,
        "progress": _paths,
    }
    return next((guess for guess in guesses[key](value) if guess and not problems_of(key, guess)), None)


def nearest_key(key: str) -> str | None:
    """A claim's name that was probably meant."""
    return next(iter(difflib.get_close_matches(key.lower(), [*KEYS], 1)), None)


def likely_kind(value: str) -> str | None:
    """A kind that the audit holds something against, for a word that nearly is one; null: its own word."""
    if value.lower() in KINDS:
        return None
    return next(iter(difflib.get_close_matches(value.lower(), KINDS, 1, 0.8)), None)


def _paths(text: str) -> list[str]:
    return [re.sub(r"[^\x20-\x7e]", "", text)]


def _kinds(text: str) -> list[str]:
    word = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._0123456789")[:64]
    return [likely_kind(word) or word]


def _targets(text: str) -> list[str]:
    number = re.search(r"[0-9][0-9,_']*(?:\.[0-9]+)?(?:[eE]\+?[0-9]+)?\s*[kKmMgGtTpP]?(?![A-Za-z])", text)
    if number is None:
        return []
    amount = re.sub(r"[,_'\s]", "", number[0])
    amount = amount[:-1] + _suffix(amount[-1])
    words = re.findall("[A-Za-z]{3,}", text.lower())
    near = [unit for word in words for unit in difflib.get_close_matches(word, UNITS, 1, 0.5)]
    return [f"{(near or ['steps'])[0]}:{amount}"]


def _suffix(letter: str) -> str:
    return "k" if letter == "K" else letter.upper() if letter in "mgtp" else letter


def _budgets(text: str) -> list[str]:
    number = re.search(r"[0-9][0-9,_']*(?:\.[0-9]+)?", text)
    return [re.sub(r"[,_']", "", number[0])] if number else []


def _places(text: str) -> list[str]:
    places = [re.sub(r"^[a-z]+://", "", place).partition("?")[0] for place in re.split(r"[\s,;]+", text)]
    return [",".join(re.sub(r"(?<=.)/.*[^0-9].*$|/$", "", place) for place in places if place)]
