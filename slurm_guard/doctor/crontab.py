"""A crontab's lines as Debian's cron and cronie read them, and why they pass over one."""

import re
from collections.abc import Iterable, Sequence

_NICKNAMES = ("reboot", "yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_PART = re.compile(r"(?:\*|(?P<low>\w+)?(?:[-~](?P<high>\w+)?)?)(?:/(?P<step>\d+))?")  # ~: cronie's chance
_PERCENT = re.compile(r"(?<!\\)%")
_NIGHT = re.compile(r"\s(?:collect|audit|mail)\b")
# By which root becomes another user.
_OTHER = re.compile(r"\b(?:su|sudo|runuser|setpriv|chpst|systemd-run|systemctl)\s")


def find_fault(whole: str, lines: Sequence[str], n_names: int) -> tuple[str, str]:
    """Why nothing of ours is started by a crontab, and the remedy; empty: it is. `n_names`: hard links."""
    if n_names > 1:
        return (
            f"it has {n_names} names (hard links), and cron does not read it",
            "cp -p {name} {name}.new && mv {name}.new {name}",
        )
    if not whole.endswith("\n"):
        return "its last line does not end with a newline, and cron ignores it", "echo >> {name}"
    jobs = [line for line in lines if not is_setting(line)]
    if any(line.endswith("\r") for line in lines):
        return "its lines end as Windows' do, and the command gets a CR", r"sed -i 's/\r$//' {name}"
    wrong = next((words for line in jobs if (words := _wrong_time(line))), "")
    if wrong:
        return wrong, "30 2 * * *   # the times in {name}, and behind them what stands there"
    if any(_PERCENT.search(line) for line in jobs):
        return "a % without a backslash before it ends the command", r"\%   # in place of % in {name}"
    return "", ""


def is_setting(line: str) -> bool:
    """Whether the line sets a variable."""
    return re.match(r"\s*\w+\s*=", line) is not None


def is_roots_night(line: str) -> bool:
    """Whether a line that is root's does the night's work as root."""
    return bool(_NIGHT.search(line)) and not _OTHER.search(line)


def _wrong_time(line: str) -> str:
    line = line.strip()
    if line.startswith("@"):
        word = line.split()[0]
        return "" if word[1:].lower() in _NICKNAMES else f"cron knows no {word[:40]!a}"
    words = line.removeprefix("-").split(None, 5)  # cronie: - keeps the line out of its log
    for word, (name, low, high, names) in zip(words, _FIELDS, strict=False):
        if not all(_is_right(part, low, high, names) for part in word.split(",")):
            return f"{word[:40]!a} is no {name}, and cron ignores it"
    return ""


def _is_right(part: str, low: int, high: int, names: Iterable[str]) -> bool:
    match = _PART.fullmatch(part.lower())
    if match is None or not part or match["step"] in ("0", "00"):
        return False
    ends = [end for end in (match["low"], match["high"]) if end is not None]
    if not ends and not part.startswith(("*", "~")):
        return False
    return all(end in names or (end.isdecimal() and low <= int(end) <= high) for end in ends)
