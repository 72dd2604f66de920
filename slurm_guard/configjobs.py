"""Which jobs an entry of the configuration means: `account=acceptance`, `user=ann,bob partition=burnin`."""

from slurm_guard.networks import QUALIFIERS, Rule

KEYS = (*QUALIFIERS, "qos")
_BY_NAME = frozenset({"user", "account"})  # what an administrator gives to a person, and nobody takes


def parse_jobs(text: str) -> Rule:
    """The jobs that have one of the names of each key. Raises ValueError for anything else."""
    who: dict[str, tuple[str, ...]] = {}
    for word in text.split():
        key, sign, names = word.partition("=")
        if not sign or key not in KEYS:
            raise ValueError(f"{word!a} is none of {'=, '.join(KEYS)}= with names by commas")
        if key in who:
            raise ValueError(f"{key}= comes twice")
        who[key] = tuple(names.split(","))
        if "" in who[key]:
            raise ValueError(f"{key}= is empty, or has an empty name")
    if not who:
        raise ValueError("it names nobody")
    return Rule("", who)


def wrong_jobs(text: str) -> str:
    """What is wrong with an entry, to stand behind its key; empty: nothing."""
    try:
        parse_jobs(text)
    except ValueError as error:
        return f"holds {text!a}: {error}"
    return ""


def doubtful_jobs(entries: list[str]) -> list[tuple[str, str]]:
    """(entry, why) of right entries that may mean more jobs than was thought, or none."""
    found = []
    for text in entries:
        who = parse_jobs(text).who
        upper = [name for name in who.get("account", ()) if name != name.lower()]
        if upper:
            found.append((text, f"Slurm keeps accounts in lower case, not {upper[0]!a}"))
        elif _BY_NAME.isdisjoint(who):
            found.append((text, "whoever may submit there is taken at his word: name accounts or users, too"))
    return found
