"""`slurm-guard collect`: from the nodes' spools to the lake."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slurm_guard.lake.ingest import CollectReport
    from slurm_guard.lake.prune import Bounds


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(collect)


def collect(
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
    spool: Annotated[
        list[Path] | None, typer.Option("--spool", help="a spool folder; may be given more than once")
    ] = None,
    lake: Annotated[Path | None, typer.Option("--lake", help="the lake's folder", readable=False)] = None,
    asked: Annotated[
        list[str] | None,
        typer.Option("--from", help="first ask a node, ssh://user@node[:port]; may be given more than once"),
    ] = None,
    drop: Annotated[
        Path | None, typer.Option("--drop", help="where files asked for go; default: drop/ in the lake")
    ] = None,
    ssh: Annotated[str, typer.Option("--ssh", help="the ssh program, with options")] = "ssh",
) -> None:
    """Take what the nodes wrote into the lake; bad files are named and put in quarantine with the reason."""
    from slurm_guard.cli.compact import tidy
    from slurm_guard.cli.ownlake import refuse_root
    from slurm_guard.cli.reopened import bringing
    from slurm_guard.cli.store import refuse_copy, send
    from slurm_guard.config import load_config
    from slurm_guard.errors import GuardError
    from slurm_guard.lake.prune import Bounds

    whole = load_config(config)
    settings = whole.lake
    where = lake or Path(settings.path)
    spools = spool or [Path(path) for path in settings.spools]
    bounds = Bounds(settings.drop_mib << 20, settings.drop_days * 86_400.0)
    place = drop or where / "drop"
    refuse_root("collect", [where, place])
    refuse_copy(where)
    if asked:
        _pull(asked, place, ssh)
        spools = [*(path for path in spools if path != place), place]
    with bringing(where, whole) as came:
        report = _collected(spools, where, (place, bounds), settings.min_free_mib << 20, came)
        typer.echo(
            f"{report.n_new} files new ({report.n_rows} rows), {report.n_known} known, "
            f"{len(report.refused)} in quarantine: {where}"
        )
        _tell(report, bounds)
    if settings.compact:
        tidy(where, settings.min_free_mib << 20)
    send(where, whole)
    unread = {refused.slug for refused in report.refused} == {"unreadable"}
    if unread and report.n_new == report.n_known == 0:
        raise GuardError(
            "spool-unreadable",
            f"nothing in {', '.join(map(str, spools))} could be read",
            "collect as a member of the spool's group (SPOOL_DIR in `man slurm-guard-install`)",
        )


def _collected(
    spools: list[Path],
    lake: Path,
    drop: "tuple[Path, Bounds]",
    least_free_b: int,
    came: "list[tuple[str, str, float, float]]",
) -> "CollectReport":
    """What came of it, and into `came` what the lake has got. Raises what a collection raises."""
    from slurm_guard.cli.progressbar import watched
    from slurm_guard.lake.arrived import Stopped
    from slurm_guard.lake.ingest import collect as collect_spools

    try:
        with watched() as bar:
            bar.stage("nodes collected")
            report = collect_spools(spools, lake, drop, bar.step, least_free_b)
    except Stopped as stop:  # the next collection knows these files, and would say nothing of them
        came += stop.arrived
        raise
    came += report.arrived
    return report


def _tell(report: "CollectReport", bounds: "Bounds") -> None:
    if report.left_out:
        said = ", ".join(f"{n} {kind!a}" for kind, n in report.left_out)
        typer.echo(f"  left out, of kinds that only a later release knows: {said}")
    for node, done in report.pruned:
        if done.n:
            typer.echo(f"  {node}: {done.n} files that are in the lake left the drop folder")
        if done.over(bounds):
            typer.echo(f"  {node}: {done.waiting_b} bytes in the drop folder are not in the lake, and stay")
    for refused in report.refused:
        mark = "" if refused.new else " (as before)"
        # What stands in a refused file may be anybody's words: shown without control characters.
        typer.echo(f"  {refused.path!a} {refused.slug}: {refused.sentence!a}{mark}")


def _pull(asked: list[str], drop: Path, ssh: str) -> None:
    """Ask node after node; one that fails does not stop the others. Raises GuardError when all failed."""
    import shlex

    from slurm_guard.errors import GuardError
    from slurm_guard.lake.drop import parse_address, pull

    answers = [pull(address, drop, shlex.split(ssh)) for address in [parse_address(text) for text in asked]]
    for answer in answers:
        typer.echo(f"{answer.node}: {answer.n_new} files pulled ({answer.n_b} bytes)")
        if answer.failure is not None:
            typer.echo(f"  {answer.failure[0]}: {answer.failure[1]!a}")
        for path in answer.kept:
            typer.echo(f"  {path}: it is here with another size, and stays")
    failures = [answer.failure for answer in answers if answer.failure is not None]
    if len(failures) == len(answers) and not any(answer.n_new for answer in answers):
        raise GuardError(
            "pull-failed", f"none of {len(answers)} nodes answered", "each one's reason is above"
        )
