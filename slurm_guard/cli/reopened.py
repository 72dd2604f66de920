"""Nights of which rows came after they were audited: who brings them says so, `audit --reopened` ends it.

`reopened.jsonl` has a line for each: when, which night, how many runs on how many nodes. `collect`, an import
and what fetches into a copy write it in the lake, or beside the documents where the lake has no room for it;
an audit beside the documents, of what came while it ran, for `collect` had no document to go by then. A night
is open as long as its document is older than its last line, so auditing it again by whatever way closes it.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurm_guard.config import Config
    from slurm_guard.lake.store.late import Late
    from slurm_guard.lake.untold import Mark
    from slurm_guard.lake.view import View

NAME = "reopened.jsonl"
_MOST = 10_000  # lines that are looked at, the last ones: judgement
_AGAIN = "`slurm-guard audit --reopened` audits it again"
Arrived = Iterable[tuple[str, str, float, float]]  # (node, run or "", first, last)


def tell_reopened(
    arrived: Arrived, lake: Path, settings: "Config", window: tuple[float, float] | None = None
) -> bool:
    """Say and write down which audited nights got rows. A lake of another site's reports names none.
    `window`: is about to be audited; its night is open only if that does not come to its end. False: it could
    be written nowhere."""
    from slurm_guard.clock import SystemClock

    now_at = SystemClock().now_at()
    spans = list(arrived)
    lines, in_hand = [], ""
    for night, begin_at, end_at, made_at in _audited(settings) if spans else ():
        if now_at < end_at:
            continue  # it was audited before it was over, and will be again
        of_night = [one for one in spans if one[2] < end_at and one[3] >= begin_at]
        if of_night and made_at <= now_at:
            lines.append(_line(now_at, night, of_night))
            in_hand = night if window == (begin_at, end_at) else in_hand
    for line in lines:
        what = f"{line['night']} was audited before this came: {line['runs']} runs on {line['nodes']} nodes"
        again = "this audit has it in" if line["night"] == in_hand else _AGAIN
        typer.echo(f"  {what}; {again}")
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return not lines or _append([lake / NAME, Path(settings.report.path) / NAME], text)


@contextmanager
def bringing(
    lake: Path, settings: "Config", window: tuple[float, float] | None = None
) -> "Iterator[list[tuple[str, str, float, float]]]":
    """While rows come into a lake, which are put in the list, whatever expected error ends it: of which
    audited nights they are is told then, and of what one that was killed had brought. `window`: is about to
    be audited."""
    from slurm_guard.errors import GuardError
    from slurm_guard.lake.arrived import told
    from slurm_guard.lake.untold import marked

    with marked(lake) as mark:
        came = list(told(mark.untold(_audited_days(settings)))) if mark is not None and mark.is_left else []
        try:
            yield came
        except (GuardError, OSError, typer.Exit):  # by any other it is untold, and for the next one to say
            _tell(came, lake, settings, window, mark)
            raise
        _tell(came, lake, settings, window, mark)


def _tell(
    came: Arrived, lake: Path, settings: "Config", window: tuple[float, float] | None, mark: "Mark | None"
) -> None:
    if tell_reopened(came, lake, settings, window) and mark is not None:
        mark.end()


@contextmanager
def told_late(lake: Path, settings: "Config", window: tuple[float, float] | None = None) -> "Iterator[Late]":
    """As `bringing`, while files come into a copy."""
    from slurm_guard.lake.arrived import told
    from slurm_guard.lake.store.late import Late

    late = Late(_audited_days(settings).__contains__)
    with bringing(lake, settings, window) as came:
        try:
            yield late
        finally:
            came += told(late.spans)


def _audited_days(settings: "Config") -> dict[date, float]:
    """Days of UTC that audited nights have a part of, and when the first of their documents was written."""
    found: dict[date, float] = {}
    for _, begin_at, end_at, made_at in _audited(settings):
        first, last = (datetime.fromtimestamp(at, timezone.utc).date() for at in (begin_at, end_at - 0.001))
        for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
            found[day] = min(made_at, found.get(day, made_at))
    return found


def tell_newer(view: "View", document: Path, settings: "Config") -> None:
    """Say and write down what came for a night after its audit had looked at the lake. The document is there:
    of what comes from now on, `collect` sees that it was audited."""
    from slurm_guard.clock import SystemClock
    from slurm_guard.lake.arrived import arrived_since

    now_at = SystemClock().now_at()
    begin_at, end_at = view.window
    every = ((*key, *span) for key, span in arrived_since(view).items()) if now_at >= end_at else ()
    of_night = [one for one in every if one[2] < end_at and one[3] >= begin_at]
    if not of_night:
        return
    # A file server's clock may be ahead of this one.
    line = _line(max(now_at, document.stat().st_mtime + 0.001), document.parent.name, of_night)
    typer.echo(
        f"  while it was audited, more came: {line['runs']} runs on {line['nodes']} nodes, and is not in it; "
        + _AGAIN
    )
    _append([document.parent.parent / NAME], json.dumps(line) + "\n")


def _line(at: float, night: str, of_night: "list[tuple[str, str, float, float]]") -> dict[str, float | str]:
    runs, nodes = {run for _, run, _, _ in of_night if run}, {node for node, *_ in of_night}
    return {"at": at, "night": night, "runs": len(runs), "nodes": len(nodes)}


def again(settings: "Config", lake: Path | None, audit: Callable[[str], None]) -> None:
    """Audit each open night, the oldest first. Raises what an audit raises, but for a night without runs."""
    from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, GuardError

    nights = open_nights(settings, lake or Path(settings.lake.path))
    for night in nights:
        try:
            audit(night)
        except GuardError as error:
            if error.exit_code != EXIT_NOTHING_TO_AUDIT:
                raise
    if not nights:
        typer.echo("no night got rows after it was audited")


def open_nights(settings: "Config", lake: Path) -> list[str]:
    """Nights whose document is older than the last rows that came for them."""
    last: dict[str, float] = {}
    for line in (*_lines(lake / NAME), *_lines(Path(settings.report.path) / NAME)):
        try:
            one = json.loads(line)
            last[str(one["night"])] = max(float(one["at"]), last.get(str(one["night"]), 0.0))
        except (ValueError, TypeError, KeyError):
            continue
    return [night for night, _, _, made_at in _audited(settings) if made_at < last.get(night, 0.0)]


def _audited(settings: "Config") -> list[tuple[str, float, float, float]]:
    """(night, begin, end, when its document was written)."""
    from slurm_guard.report.archive import DOCUMENT, list_nights
    from slurm_guard.report.words import load_zone

    zone, reports = load_zone(settings.report.timezone), Path(settings.report.path)
    found = []
    for night in list_nights(reports):
        try:
            begin = datetime.fromisoformat(night).replace(tzinfo=zone)
            made_at = (reports / night / DOCUMENT).stat().st_mtime
            found.append((night, begin.timestamp(), (begin + timedelta(days=1)).timestamp(), made_at))
        except (ValueError, OverflowError, OSError):
            continue
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()[-_MOST:]
    except OSError:
        return []


def _append(places: list[Path], text: str) -> bool:
    """To the first of these files that takes it; both are read (open_nights). False: none does, which is
    said."""
    failed: list[str] = []
    for path in places:
        try:
            _add(path, text)
            return True
        except OSError as error:
            failed.append(f"{path}: {error.strerror}")
    typer.echo(f"  not written down: {'; '.join(failed)}", err=True)
    return False


def _add(path: Path, text: str) -> None:
    """Raises OSError. A full disk may have taken half of the last line: what follows is a line of its own."""
    import os

    from slurm_guard.lake.write import CLOSED

    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, CLOSED), "r+b", buffering=0) as out:
        size = os.fstat(out.fileno()).st_size
        is_cut = size > 0 and os.pread(out.fileno(), 1, size - 1) != b"\n"
        left = ("\n" * is_cut + text).encode()
        while left:
            left = left[out.write(left) :]
