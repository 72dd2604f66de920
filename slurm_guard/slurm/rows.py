"""`sacct -P` text to rows. sacct escapes nothing, so rows are found by counting delimiters.

The first line names the columns. A user can put newlines and any fixed delimiter into a job's name or
comment, and so a whole forged row; the live query therefore takes a delimiter that nobody can know
beforehand (sacct.py). Text made with a plain delimiter is read all the same, as far as it is well formed.
"""

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping

from slurm_guard.errors import GuardError

US = "\x1f"  # what a file of sacct text should be made with: no shell or spreadsheet writes it by chance
_HEADER = re.compile(r"[A-Za-z]+(?:([^A-Za-z]+)[A-Za-z]+(?:\1[A-Za-z]+)*)?\1?")
MAX_ROW = 262_144  # characters; Slurm's own limits keep a row far below: judgement
KEY = "JobIDRaw"

# Asked for as far as the site's sacct knows them. The one long free text stands last.
FIELDS = (
    *("JobIDRaw", "JobID", "Cluster", "State", "Submit", "Start", "End", "ElapsedRaw", "Suspended"),
    *("AllocTRES", "NNodes", "NodeList", "User", "UID", "Account", "Partition", "QOS", "SLUID"),
    *("AdminComment", "StdOut", "WorkDir", "JobName", "Extra", "Comment"),
)
NEEDED = ("JobIDRaw", "State", "Start", "End", "AllocTRES", "NodeList")


def parse_rows(text: str) -> tuple[list[dict[str, str]], list[str]]:
    """(rows, problems): each row by column name; a problem is one sentence about lines that fit nowhere.

    Raises GuardError sacct-text when the first line is no header.
    """
    header, _, body = text.partition("\n")
    columns, delimiter = _read_header(header)
    rows: list[dict[str, str]] = []
    problems: list[str] = []
    ended = header.rstrip("\r").endswith(delimiter)  # as `-p` does, each line too
    for number, raw in _join_lines(body, delimiter, len(columns) - (not ended)):
        values = raw.split(delimiter)
        if ended and values[-1] == "":
            values.pop()
        if len(values) != len(columns):
            problems.append(f"line {number}: {len(values)} fields where {len(columns)} are named")
        elif not values[columns.index(KEY)].partition(".")[0].isdigit():
            problems.append(
                f"line {number}: {KEY} is {values[columns.index(KEY)][:40]!a}, which is no number"
            )
        else:
            rows.append(dict(zip(columns, values, strict=True)))
    return rows, problems


def _read_header(header: str) -> tuple[list[str], str]:
    match = _HEADER.fullmatch(header.strip("\r\n"))
    columns = re.findall("[A-Za-z]+", header)
    if match is None or match[1] is None or any(name not in columns for name in NEEDED):
        raise not_sacct(f"the text does not begin with sacct's field names, or lacks {', '.join(NEEDED)}")
    return columns, match[1]


def not_sacct(sentence: str) -> GuardError:
    """For text that was not made as we read it: says how to make it."""
    fields = ",".join(name for name in FIELDS if name not in {"SLUID", "StdOut", "Extra"})
    how = "TZ=UTC LC_ALL=C SLURM_TIME_FORMAT=%s sacct -a -D -X -P --delimiter=$'\\x1f'"
    return GuardError("sacct-text", sentence, f"make it with: {how} -S FROM -E UNTIL -o {fields}")


def _join_lines(body: str, delimiter: str, per_row: int) -> Iterator[tuple[int, str]]:
    """(line number, whole row): lines join until a row has all its delimiters, then while they have none."""
    starts = re.compile(r"[0-9]+(?:\.[A-Za-z0-9]+)?" + re.escape(delimiter))
    held: list[str] = []
    first, count, size = 2, 0, 0
    # Only "\n" ends a line: str.splitlines would also cut at \x1c..\x1e, \x85 and U+2028 inside a name.
    for number, line in enumerate(body.split("\n"), start=2):
        here = line.count(delimiter)
        full = count >= per_row and here > 0
        broken = count + here > per_row and starts.match(line) is not None
        if held and (full or broken or size > MAX_ROW):
            yield first, "\n".join(held)
            held, count, size = [], 0, 0
        if not held:
            first = number
        held.append(line)
        count += here
        size += len(line)
    if held and held[-1] == "":  # what follows the text's last line end is no line
        held.pop()
    if held:
        yield first, "\n".join(held)


def draw_delimiter() -> str:
    """One that nobody who wrote a job's name can have known, so that no name can pass for a row."""
    return f"{US}{secrets.randbelow(10**18):018d}{US}"


def format_rows(
    rows: Iterable[Mapping[str, str]], columns: Iterable[str] = FIELDS, delimiter: str = US
) -> str:
    """The inverse: a header and one line a row, as sacct prints them; a column a row lacks is empty."""
    names = list(columns)
    lines = [delimiter.join(names)]
    lines += [delimiter.join(row.get(name, "") for name in names) for row in rows]
    return "\n".join(lines) + "\n"
