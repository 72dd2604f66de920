"""Words of problems that are counted while a file is read."""

from collections.abc import Mapping

_WORDS = {
    "bad-counter": "rows whose counter is no whole number",
    "long-lines": "lines that are too long to be read",
    "many-clocks": "records of further counters, ranks or bars than are followed, which are left out",
    "many-records": "times that every second record was left out, for there are very many",
    "open-quote": "quotes that are not closed, whose rows are left out",
    "ragged-rows": "rows with more or fewer cells than the heading",
}
_UNREADABLE = "unreadable-"


def told(problems: Mapping[str, int]) -> list[str]:
    """`slug: what is counted: how many`, by slug."""
    out = []
    for slug, count in sorted(problems.items()):
        words = _WORDS.get(slug, "")
        if slug.startswith(_UNREADABLE):
            words = f"lines that look like {slug[len(_UNREADABLE) :]}'s and have no number that can be used"
        out.append(f"{slug}: {words}: {count}" if words else f"{slug}: {count}")
    return out
