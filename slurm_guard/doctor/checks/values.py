"""What several checks ask of Slurm's configuration: what runs, or what the file says where nobody answers."""

from slurm_guard.doctor.facts import Facts
from slurm_guard.doctor.finding import NotSeenError, Unseen
from slurm_guard.slurm.conf import SlurmConf
from slurm_guard.slurm.running import Running, Version

LISTS_SINCE: Version = (24, 5)  # from here on each Prolog= line adds to those before


def value(facts: Facts, key: str) -> str:
    """What holds; empty: unset. Raises NotSeenError where neither was read."""
    if isinstance(facts.running, Running):
        return facts.running.first(key)
    if isinstance(facts.conf, SlurmConf):
        return facts.conf.last(key) or ""
    raise NotSeenError(facts.running.why)


def words(facts: Facts, key: str) -> tuple[str, ...]:
    """A list with commas, in lower case."""
    return tuple(word.strip().lower() for word in value(facts, key).split(",") if word.strip())


def seconds(facts: Facts, key: str) -> int | None:
    """A time; null: unset, so that Slurm waits for ever."""
    return Running("", {key.lower(): (value(facts, key),)}).seconds(key)


def version(facts: Facts) -> Version | None:
    """Null where slurmctld does not tell."""
    return None if isinstance(facts.running, Unseen) else facts.running.version


def slurm_user(facts: Facts) -> str:
    """The uid of SlurmUser, which may own Slurm's own files; empty: not known."""
    told = "" if isinstance(facts.running, Unseen) else facts.running.first("SlurmUser")
    return told.partition("(")[2].rstrip(")")  # slurm(64030)


def count(n: int, noun: str) -> str:
    """1 file, 2 files."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def name(release: Version) -> str:
    """24.05 as people write it."""
    return f"{release[0]}.{release[1]:02d}"
