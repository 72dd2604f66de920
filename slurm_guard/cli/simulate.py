"""`slurm-guard simulate`: nights of a large cluster as a lake and accounting's text, for figures of scale."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slurm_guard.errors import GuardError


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(simulate)


def simulate(
    out: Annotated[
        Path, typer.Option("--out", help="an empty or new folder: lake/, sacct.txt, truth.parquet")
    ],
    gpus: Annotated[int, typer.Option("--gpus", min=8, max=262_144, help="whole nodes: 8, 16, 24 …")] = 1000,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, help="started a night; default: 1.4 a GPU", show_default=False),
    ] = None,
    nights: Annotated[int, typer.Option("--nights", min=1, max=31, help="from 2025-10-14, 00:00 UTC on")] = 1,
    seed: Annotated[str, typer.Option("--seed", help="any word; another word, other nights")] = "1",
    planted: Annotated[
        float | None,
        typer.Option(
            "--planted",
            min=0.0,
            max=1.0,
            help="share of long trainings that are diverted",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write nights of a cluster of any size, as collected, for measuring. Every figure is simulated."""
    from slurm_guard.cli.progressbar import watched
    from slurm_guard.errors import GuardError
    from slurm_guard.simulate.scale import calibration
    from slurm_guard.simulate.scale.make import make
    from slurm_guard.simulate.scale.plan import Size

    if gpus % calibration.GPUS_PER_NODE:
        raise _not_whole(gpus, calibration.GPUS_PER_NODE)
    _refuse_full(out)
    n_jobs = round(calibration.JOBS_PER_GPU * gpus) if jobs is None else jobs
    part = calibration.PLANTED if planted is None else planted
    size = Size(gpus, n_jobs, nights, seed, part)
    with watched() as bar:
        bar.stage("nodes and days")
        try:
            made = make(out, size, bar.step)
        except OSError as error:
            raise GuardError(
                "simulate-out", f"{out}: {error.strerror}", "name another folder with --out"
            ) from None
    counts = f"{made.n_runs} runs, {made.n_windows} windows, {made.n_rows} rows in {made.n_files} files"
    typer.echo(f"{counts}: {out / 'lake'}")
    typer.echo(
        f"audit it: slurm-guard audit --lake {out / 'lake'} --sacct-file {out / 'sacct.txt'} "
        f"--since {made.from_at:.0f} --until {made.from_at + 86_400:.0f} -o {out / 'audit.json'}"
    )


def _not_whole(gpus: int, of_node: int) -> "GuardError":
    from slurm_guard.errors import EXIT_USAGE, GuardError

    low = gpus // of_node * of_node
    sentence = f"--gpus {gpus} is no number of whole nodes, which have {of_node} GPUs each"
    return GuardError("simulate-gpus", sentence, f"say {low} or {low + of_node}", EXIT_USAGE)


def _refuse_full(out: Path) -> None:
    """Raises GuardError simulate-out where the folder holds anything, or is none."""
    from slurm_guard.errors import EXIT_USAGE, GuardError

    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise GuardError(
                "simulate-out", f"{out} is not empty", "name an empty or a new folder with --out", EXIT_USAGE
            )
    except OSError as error:
        raise GuardError(
            "simulate-out", f"{out}: {error.strerror}", "name another folder with --out"
        ) from None
