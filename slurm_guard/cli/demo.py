"""`slurm-guard demo`: a simulated night through the real stages, the truth beside the verdicts at the end."""

import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from slurm_guard.model import Audit, Judgement
    from slurm_guard.simulate.night import Night

MARK = ".slurm-guard-demo"  # in a folder that the demo made, and may therefore empty

SITE = "a simulated cluster"
OUTSIDE = " !"  # behind a figure that the bounds do not hold
SLACK_H = 0.02  # a minute: the simulated records are no finer


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(demo)


def demo(
    out: Annotated[Path, typer.Option("--out", help="folder for everything")] = Path("slurm-guard-demo"),
    seed: Annotated[int, typer.Option("--seed", help="another seed, another night")] = 1,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="[audit], [network] and [report] from here", readable=False),
    ] = None,
) -> None:
    """Simulate a night, then collect, audit and report it as a real one. Every figure is simulated."""
    from slurm_guard.config import load_config
    from slurm_guard.errors import GuardError
    from slurm_guard.report.archive import PAGE
    from slurm_guard.simulate.night import simulate

    load_config(config)  # a wrong one is refused before anything is made
    _make_room(out)
    typer.echo("simulating a night on eleven GPU nodes …")
    try:
        night = simulate(out, seed)
    except FileNotFoundError as error:
        if error.filename is not None:
            raise
        # tempfile's word for temporary folders that are all full or closed
        raise GuardError("demo-out", str(error.strerror), "make room, or set $TMPDIR") from None
    if night.home != out.resolve():
        (out / MARK).write_text(str(night.home), "utf-8")
        typer.echo(f"the jobs' files stand in {night.home}, as their users could not enter {out}")
    settings = _write_config(night, config)
    document = _run_stages(night, settings)
    done = _read_audit(document)
    _print_table(done, night)
    typer.echo(f"\nThe night's report: {document.with_name(PAGE)}\nLook further:\n{_look(settings, done)}")


def _make_room(out: Path) -> None:
    """An empty folder; only one that an earlier demo made is emptied. Raises GuardError demo-out."""
    import shutil

    from slurm_guard.errors import EXIT_USAGE, GuardError

    try:
        if out.is_dir() and any(out.iterdir()):
            if not (out / MARK).is_file():
                raise GuardError(
                    "demo-out",
                    f"{out} holds files that no demo made",
                    "name an empty or a new folder with --out",
                    EXIT_USAGE,
                )
            _remove_home((out / MARK).read_text("utf-8"))
            for path in sorted(out.iterdir()):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).touch()
    except OSError as error:
        raise GuardError("demo-out", f"{out}: {error.strerror}", "name another folder with --out") from None


def _remove_home(text: str) -> None:
    """The folder for the jobs' files that an earlier demo made elsewhere; anything else is left alone."""
    import os
    import shutil
    import tempfile

    from slurm_guard.simulate.night import HOME_PREFIX

    home = Path(text)
    if home.parent != Path(tempfile.gettempdir()) or not home.name.startswith(HOME_PREFIX):
        return
    if home.is_dir() and not home.is_symlink() and home.stat().st_uid == os.geteuid():
        shutil.rmtree(home)


def _write_config(night: "Night", config: Path | None) -> Path:
    """The demo's guard.toml: the user's text, if any, less the folders, which are the demo's own."""
    from dataclasses import asdict

    from slurm_guard.config import load_config
    from slurm_guard.simulate import talk

    given = load_config(config)
    # Without a word of the user's, the simulated site's own: the report shows what a policy explains.
    policy = {} if config is not None else {"egress": list(talk.EGRESS), "tunnels": list(talk.TUNNELS)}
    out = night.out.resolve()  # the commands may be given anywhere
    tables: dict[str, dict[str, Any]] = {
        "lake": {"path": str(out / "lake"), "spools": [str(night.spool.resolve())]},
        "audit": asdict(given.audit),
        "network": {**asdict(given.network), **policy},
        # Users' own documents and the log of views are the site's: nothing simulated goes there.
        "report": {
            **asdict(given.report),
            "path": str(out / "reports"),
            "own": "",
            "views": "",
            "site": given.report.site or SITE,
        },
    }
    # JSON's texts, numbers, booleans and lists are TOML's, too.
    lines = [
        line
        for name, table in tables.items()
        for line in (f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()), "")
    ]
    path = night.out / "guard.toml"
    path.write_text("\n".join(lines), "utf-8")
    return path


def _run_stages(night: "Night", settings: Path) -> Path:
    """collect and audit as their own commands do it; the document's path. The truth is not opened."""
    from slurm_guard.cli.audit import audit
    from slurm_guard.cli.collect import collect
    from slurm_guard.report.archive import find_document

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        collect(config=settings)
        audit(
            since=str(night.from_at),
            until=str(night.until_at),
            sacct_file=night.sacct,
            config=settings,
        )
    (night.out / "stages.txt").write_text(said.getvalue(), "utf-8")
    return find_document(night.out.resolve() / "reports", None)


def _read_audit(path: Path) -> "Audit":
    from slurm_guard.report.archive import read_document

    return read_document(path)


def _look(settings: Path, done: "Audit") -> str:
    """Commands that show more of the night: the program as it was called, where no PATH leads to it."""
    import shlex
    import shutil
    import sys

    program = "slurm-guard" if shutil.which("slurm-guard") else shlex.quote(sys.argv[0])
    worst = _worst_first(done)[0].run
    asked = ("report", f"report --job {shlex.quote(worst.job)}", f"lake show processes --job {worst.job_id}")
    return "\n".join(f"  {program} {words} --config {shlex.quote(str(settings))}" for words in asked)


def _print_table(done: "Audit", night: "Night") -> None:
    """Verdicts beside the truth, which is opened here and nowhere before."""
    truth = {(one["job_id"], one["start_at"]): one for one in json.loads(night.truth.read_text("utf-8"))}
    rows = [_row(judged, truth[judged.run.job_id, int(judged.run.start_at)]) for judged in _worst_first(done)]
    heads = (
        *("verdict", "job", "GPU-h", "unexplained", "log", "diverted", ""),
        "what really happened (simulated)",
    )
    sizes = [max(len(cell) for cell in column) for column in zip(heads, *rows, strict=True)]
    typer.echo("")
    for cells in (heads, *rows):
        line = "  ".join(cell.ljust(size) for cell, size in zip(cells, sizes, strict=True))
        typer.echo(line.rstrip())
    n_right = sum(1 for row in rows if row[6] == "ok")
    n_held = sum(1 for row in rows if not row[5].endswith(OUTSIDE))
    typer.echo(
        f"\n{n_right} of {len(rows)} verdicts are as they should be; "
        f"what was diverted lies within the bounds of {n_held}."
    )


def _worst_first(done: "Audit") -> "list[Judgement]":
    from slurm_guard.model import Verdict

    order = list(Verdict)
    return sorted(done.judgements, key=lambda j: (order.index(j.verdict), -j.unexplained.lo_gpu_ms, j.run.id))


def _row(judged: "Judgement", truth: dict[str, Any]) -> tuple[str, ...]:
    low, high = (ms / 3.6e6 for ms in (judged.unexplained.lo_gpu_ms, judged.unexplained.hi_gpu_ms))
    right = judged.verdict.value in truth["expect"]
    diverted = truth["diverted_s"] / 3600
    held = judged.verdict.value == "NOT AUDITABLE" or low - SLACK_H <= diverted <= high + SLACK_H
    outside = f" (+{truth['outside_s'] / 3600:.1f} h after its end)" if truth["outside_s"] else ""
    return (
        judged.verdict.value,
        f"{judged.run.job} {judged.run.name}",
        f"{judged.run.allocated_gpu_ms / 3.6e6:5.1f}",
        f"{low:.1f}–{high:.1f}" if judged.verdict.value != "NOT AUDITABLE" else "–",
        judged.progress.trust,
        f"{diverted:.1f}{'' if held else OUTSIDE}",
        "ok" if right else "!",
        f"{truth['scenario']}: {truth['words']}{outside}",
    )
