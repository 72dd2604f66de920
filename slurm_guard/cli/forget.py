"""`slurm-guard forget`: takes one user's data out of everything that this machine keeps; sums stay."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slurm_guard.config import Config
    from slurm_guard.report.forget import Who


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(forget)


def forget(
    user: Annotated[str, typer.Option("--user", help="the user's name or uid")],
    name: Annotated[
        str | None, typer.Option("--name", help="his name, where this machine no longer knows the uid")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="do it; without this it is only said")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
) -> None:
    """Say what is stored about one user, and with --apply take it away; GPU time and verdicts stay as sums.

    Slurm's accounting and the nodes' own spools are not touched: docs/privacy.md says what else there is.
    """
    from slurm_guard.cli.history import history_folder
    from slurm_guard.cli.ownlake import refuse_root
    from slurm_guard.config import load_config

    settings = load_config(config)
    if apply:  # what it writes anew would be root's, and every later audit would pass over it
        places = [Path(settings.lake.path), history_folder(None, None, settings), Path(settings.report.path)]
        refuse_root("forget", places)
    who = _find_user(user, name)
    typer.echo(f"uid {who.uid}, {who.name or 'name unknown'}:")
    failed = [*_forget_lake(settings, who, apply=apply), *_forget_reports(settings, who, apply=apply)]
    failed += _forget_store(settings, apply=apply)
    for path, why in failed:  # each of them still has what was to go
        typer.echo(f"warning: {path}: {why}", err=True)
    if not apply:
        typer.echo("nothing was changed: --apply does it")
    raise typer.Exit(1 if failed else 0)


def _find_user(user: str, name: str | None) -> "Who":
    """Raises GuardError user-unknown, user-system."""
    import pwd

    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.report.forget import Who

    try:
        entry = pwd.getpwuid(int(user)) if user.isascii() and user.isdigit() else pwd.getpwnam(user)
        uid, known = entry.pw_uid, entry.pw_name
    except (KeyError, OverflowError):
        if not (user.isascii() and user.isdigit()):
            hint = "give the uid with --user, and the name with --name"
            raise GuardError(
                "user-unknown", f"this machine knows no user {user!a}", hint, EXIT_USAGE
            ) from None
        uid, known = int(user), ""
    if uid == 0:
        raise GuardError("user-system", "root's processes are the system's own", "name a person", EXIT_USAGE)
    return Who(uid, name or known)


def _forget_lake(settings: "Config", who: "Who", *, apply: bool) -> list[tuple[Path, str]]:
    from slurm_guard.cli.history import history_folder
    from slurm_guard.lake.forget import forget_lake
    from slurm_guard.lake.turns import alone

    lake = Path(settings.lake.path)
    if not lake.is_dir():
        typer.echo("lake: there is none")
        return []
    history = history_folder(None, None, settings)
    if apply:
        with alone(lake):
            taken = forget_lake(lake, history, who.uid, apply=True)
        busy = _forget_parts(settings, lake)
    else:
        taken = forget_lake(lake, history, who.uid, apply=False)
        busy = []
    what = ", ".join(f"{n} rows of {table}" for table, n in sorted(taken.rows.items())) or "nothing"
    typer.echo(f"lake: {taken.n_runs} runs on nodes; {what}")
    if taken.n_untold:
        typer.echo(
            f"lake: of {taken.n_untold} runs neither hook said whose they were, and processes of others ran "
            "in them too: only his processes are taken from these"
        )
    n_quarantined = sum(1 for path in (lake / "quarantine").rglob("*") if path.is_file())
    if n_quarantined:
        typer.echo(f"quarantine: {n_quarantined} files are not looked into; `slurm-guard prune` ends them")
    return [*taken.failed, *busy]


def _forget_parts(settings: "Config", lake: Path) -> list[tuple[Path, str]]:
    """All that audits keep of nights in parts: everybody's runs are in it, and it is made again at need."""
    from slurm_guard.engine.kept import forget as forget_parts
    from slurm_guard.engine.kept import own_folder
    from slurm_guard.errors import GuardError

    place = Path(settings.engine.folder) if settings.engine.folder else own_folder(lake)
    if place is None or not place.is_dir():
        return []
    try:
        left = forget_parts(place)
    except GuardError as error:
        return [(place, error.sentence)]
    typer.echo(
        "lake: what audits kept of nights in parts is gone" + (" but for those in use" if left else "")
    )
    return left


def _forget_store(settings: "Config", *, apply: bool) -> list[tuple[Path, str]]:
    """What the store still has is not forgotten, and is said."""
    from slurm_guard.cli.store import send
    from slurm_guard.lake.store.mark import is_copy

    lake, url = Path(settings.lake.path), settings.lake.store
    copies = "copies on other machines drop theirs with the next audit"
    if is_copy(lake):
        typer.echo("store: another machine's to change: forget there, then `slurm-guard lake sync` here")
    elif url and not apply:
        typer.echo(f"store: {url} gets the files that change; {copies}")
    elif url and send(lake, settings, patient=True):
        typer.echo(f"store: {url} has what the lake has; {copies}")
    elif url:
        return [(lake, f"{url} still has rows that are gone here: `slurm-guard lake sync` takes them away")]
    return []


def _forget_reports(settings: "Config", who: "Who", *, apply: bool) -> list[tuple[Path, str]]:
    from slurm_guard.report.forget import forget_reports, letters_with, without
    from slurm_guard.report.ownfiles import own_folder
    from slurm_guard.report.viewlog import log_path
    from slurm_guard.retention import LEAST_MAIL_DAYS, below, remove, rewrite_lines

    reports = Path(settings.report.path)
    found, failed = forget_reports(reports, who, apply=apply)
    typer.echo("reports: " + ", ".join(f"{n} {kind}" for kind, n in found.items()))
    own = below("own", own_folder(settings.report.own, reports) / str(who.uid))
    typer.echo(f"own documents: {len(own.files)}")
    files, n_young = letters_with(reports / "outbox", who, time.time() - LEAST_MAIL_DAYS * 86_400.0)
    young = f"; {n_young} younger than {LEAST_MAIL_DAYS:g} days stay: forget again later" if n_young else ""
    typer.echo(f"letters: {sum(path.suffix == '.eml' for path in files)}{young}")
    views = log_path(settings.report.views, reports)
    if apply:
        for path in files:
            path.unlink(missing_ok=True)
        failed += remove(own).failed
        typer.echo(f"views: {rewrite_lines(views, without(who))} lines changed")
    else:
        typer.echo(f"views: {rewrite_lines(views, without(who), dry=True)} lines")
    return failed + _say_words(reports, who)


def _say_words(reports: Path, who: "Who") -> list[tuple[Path, str]]:
    """The site's words are its own record of what it said and why: they are named and not changed."""
    from slurm_guard.errors import GuardError
    from slurm_guard.memory.words import NAME, read_book

    try:
        book = read_book(reports / NAME)
    except GuardError as error:
        return [(reports / NAME, error.sentence)]
    about = [
        entry.id for entry in book.entries if getattr(getattr(entry, "subject", None), "uid", None) == who.uid
    ]
    if about:
        numbers = ", ".join(map(str, about[:20]))
        typer.echo(f"the site's words: {len(about)} speak of his runs ({numbers}); they stay")
    return []
