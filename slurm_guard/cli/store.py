"""The lake's object store as the commands use it: who collects sends, who audits elsewhere fetches.

Whatever a store does stops nobody from collecting: it is said, and what it lacks goes with the next call.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from slurm_guard.config import Config
    from slurm_guard.lake.store.bucket import Bucket
    from slurm_guard.lake.store.mark import Mark
    from slurm_guard.lake.store.pull import Pulled
    from slurm_guard.lake.store.push import How, Pushed

_Result = TypeVar("_Result")
_LONGEST_S = 1800.0  # that a night's audit waits for a first round. Judgement: 300,000 small files
_PATIENT_S = 120.0  # for another process of this machine that sends

_Config = Annotated[Path | None, typer.Option("--config", help="configuration file", readable=False)]


def sync(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be done, change nothing")
    ] = False,
    shrink: Annotated[
        bool, typer.Option("--shrink", help="take away from the store also more than half of a table")
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over", help="from now on this machine collects: fetch what the store has, then send"
        ),
    ] = False,
    config: _Config = None,
) -> None:
    """Send the lake to [lake] store where it is collected; elsewhere fetch all of it.

    `collect`, `prune`, `forget` and `audit` do what they need by themselves.
    """
    from slurm_guard.cli.ownlake import refuse_root
    from slurm_guard.cli.progressbar import watched
    from slurm_guard.cli.reopened import told_late
    from slurm_guard.config import load_config
    from slurm_guard.errors import EXIT_FAILURE, EXIT_USAGE, GuardError
    from slurm_guard.lake.store import pull
    from slurm_guard.lake.store.push import How

    settings = load_config(config)
    lake = Path(settings.lake.path)
    if not settings.lake.store:
        raise GuardError("store-none", "no store is named", "set lake.store in guard.toml", EXIT_USAGE)
    refuse_root("lake sync", [lake])
    bucket = _open(settings)
    with nullcontext() if dry_run else told_late(lake, settings) as late, watched() as bar:
        room_b, wait_s = settings.lake.min_free_mib << 20, 0.0 if dry_run else pull.WAIT_S
        terms = pull.Terms(pull.every, room_b, dry_run, wait_s=wait_s, late=late, tell=bar.step)
        if take_over:
            bar.stage("files fetched")
            taken = _guarded(lake, lambda: pull.take_over(lake, bucket, terms))
            _say_taken(taken, bucket.url, dry_run)
            if dry_run:
                return
        if _fetches(lake):
            bar.stage("files fetched")
            pulled = _guarded(lake, lambda: pull.pull(lake, bucket, terms))
            typer.echo(f"{lake} is a copy; {_round_words(pulled.mark)}")
            _say_pulled(pulled, bucket.url, dry_run)
            return
        bar.stage("files sent")
        how = How(dry_run, shrink, wait_s=_PATIENT_S, tell=bar.step)
        done = _push(lake, bucket, how)
    typer.echo(f"{lake} is the lake; {_round_words(done.before)}")
    _say_pushed(done, bucket.url, dry_run)
    if not done.is_whole:
        raise typer.Exit(EXIT_FAILURE)


def send(lake: Path, settings: "Config", *, may_shrink: bool = False, patient: bool = False) -> bool:
    """Send what is new and take away what is gone; false: not, or not all, and why is said.

    Does nothing without a store, for another lake than the configured one, and for a copy.
    """
    from slurm_guard.cli.progressbar import watched
    from slurm_guard.errors import GuardError
    from slurm_guard.lake.store.mark import is_copy
    from slurm_guard.lake.store.push import How

    if not _is_meant(lake, settings) or is_copy(lake):
        return True
    try:
        with watched() as bar:
            bar.stage("files sent")
            wait_s = _PATIENT_S if patient else 0.0
            done = _push(lake, _open(settings), How(False, may_shrink, _LONGEST_S, wait_s, bar.step))
    except GuardError as error:
        typer.echo(f"  not sent to {settings.lake.store}: {error.slug}: {error.sentence}", err=True)
        typer.echo(f"  hint: {error.hint}", err=True)
        return False
    _say_pushed(done, settings.lake.store, dry=False)
    return done.is_whole


def brought(window: tuple[float, float], settings: "Config") -> Path:
    """The configured lake, with what an audit of a window reads fetched where this machine does not collect.

    Raises GuardError store-…, lake-full, lake-unwritable: half a night is no night.
    """
    from slurm_guard.cli.progressbar import watched
    from slurm_guard.cli.reopened import told_late
    from slurm_guard.lake.store import pull

    lake = Path(settings.lake.path)
    if not settings.lake.store or not _fetches(lake):
        return lake
    with told_late(lake, settings, window) as late, watched() as bar:
        bar.stage("files fetched")
        wanted, room_b = pull.of_window(*window), settings.lake.min_free_mib << 20
        terms = pull.Terms(wanted, room_b, late=late, tell=bar.step)
        done = _guarded(lake, lambda: pull.pull(lake, _open(settings), terms))
    _say_pulled(done, settings.lake.store, dry=False)
    if done.mark.at < window[1]:
        when = "that was before the end of the audited time, and what came later is not in it"
        typer.echo(f"  {settings.lake.store}: {_round_words(done.mark)}; {when}", err=True)
    return lake


def refuse_copy(lake: Path) -> None:
    """For who would write into the lake. Raises GuardError lake-copy."""
    from slurm_guard.lake.store.mark import copy_error, is_copy, read_role

    if is_copy(lake):
        role = read_role(lake)
        assert role is not None
        raise copy_error(lake, role)


def _is_meant(lake: Path, settings: "Config") -> bool:
    return bool(settings.lake.store) and lake.resolve() == Path(settings.lake.path).resolve()


def _fetches(lake: Path) -> bool:
    """Whether this folder is a copy or becomes one: what was collected here is the lake itself."""
    from slurm_guard.lake.steps import formats_in
    from slurm_guard.lake.store.mark import COPY, read_role

    role = read_role(lake)
    return role.kind == COPY if role is not None else not formats_in(lake)


def _open(settings: "Config") -> "Bucket":
    from slurm_guard.lake.store.bucket import Bucket

    return Bucket(settings.lake.store, settings.lake.store_endpoint)


def _push(lake: Path, bucket: "Bucket", how: "How") -> "Pushed":
    from slurm_guard.lake.store.push import push

    return _guarded(lake, lambda: push(lake, bucket, how))


def _guarded(lake: Path, work: "Callable[[], _Result]") -> "_Result":
    """What the disk says as ours. Raises GuardError lake-full, lake-unwritable."""
    from slurm_guard.errors import GuardError
    from slurm_guard.lake.prune import FULL

    try:
        return work()
    except OSError as error:
        slug = "lake-full" if error.errno in FULL else "lake-unwritable"
        why = f"{error.filename or lake}: {error.strerror or error}"
        raise GuardError(slug, why, "what came is kept; look at lake.path and try again") from None


def _say_pushed(done: "Pushed", url: str, dry: bool) -> None:
    sent, gone = ("would be sent", "would go") if dry else ("sent", "taken away")
    waits = f", {done.n_waiting} wait for the next call" if done.n_waiting else ""
    if dry or done.n_sent or done.n_removed or waits:
        size = f"{done.sent_b / 1e6:.1f} MB"
        rest = f"{done.n_removed} {gone}, {done.n_same} there{waits}"
        typer.echo(f"  {url}: {done.n_sent} files {sent} ({size}), {rest}")
    for line in done.names if dry else ():
        typer.echo(f"    {line}")
    for name, why in done.failed[:5]:
        typer.echo(f"  {name} was not sent: {why!a}", err=True)
    for group, n in done.withheld:
        typer.echo(
            f"  {url} keeps {n} files of {group} that are not here: more than half of what it has. "
            "Where that is meant: `slurm-guard lake sync --shrink`",
            err=True,
        )
    _say_foreign(done.n_foreign, url)


def _say_taken(done: "Pulled | None", url: str, dry: bool) -> None:
    if done is None:
        typer.echo(f"  {url}: nothing was sent there yet")
        return
    verb = "would be fetched, and this machine would collect" if dry else "fetched; this machine collects now"
    typer.echo(
        f"  {url}: {done.n_fetched} files ({done.fetched_b / 1e6:.1f} MB) {verb}, after {done.mark.host}"
    )


def _round_words(mark: "Mark | None") -> str:
    from datetime import datetime, timezone

    if mark is None:
        return "nothing was sent yet"
    try:
        at = f"{datetime.fromtimestamp(mark.at, timezone.utc):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        at = "a time that is none"
    return f"its last round is {mark.host}'s of {at}" + ("" if mark.state == "whole" else ", and did not end")


def _say_pulled(done: "Pulled", url: str, dry: bool) -> None:
    got, gone = ("would be fetched", "would go") if dry else ("fetched", "dropped")
    if dry or done.n_fetched or done.n_dropped:
        size = f"{done.fetched_b / 1e6:.1f} MB"
        typer.echo(
            f"  {url}: {done.n_fetched} files {got} ({size}), {done.n_dropped} {gone}, {done.n_same} there"
        )
    if not done.is_whole:
        typer.echo(
            f"  {url}: the last round of {done.mark.host} did not end, the latest files may be missing",
            err=True,
        )
    _say_foreign(done.n_foreign, url)
    for name in done.left:
        typer.echo(f"    {name[:200]!a}", err=True)


def _say_foreign(n: int, url: str) -> None:
    if n:
        typer.echo(f"  {url}: {n} objects with names that no file of a lake has are left alone", err=True)
