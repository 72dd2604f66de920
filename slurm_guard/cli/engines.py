"""`slurm-guard audit-shard`, which job arrays run, and how `audit` is told what to be computed with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slurm_guard.config import Config, EngineConfig
    from slurm_guard.engine.run import Means

_KINDS = ("local", "slurm")


def shard(
    run: Annotated[Path, typer.Argument(help="an audit's folder", readable=False)],
    stem: Annotated[str, typer.Argument(help="the pass, and which of its arrays")],
) -> None:
    """One task of a job array of `slurm-guard audit --engine slurm`: makes its share of a night's parts."""
    import os
    from datetime import datetime, timezone

    # Before Polars is loaded: by itself it takes all CPUs of a node.
    os.environ["POLARS_MAX_THREADS"] = os.environ.get("SLURM_CPUS_PER_TASK", "1")
    from slurm_guard.engine.shard import make_share

    def say(words: str) -> None:
        print(datetime.now(timezone.utc).isoformat(timespec="milliseconds"), words, flush=True)

    make_share(run, stem, say)


def with_engine(settings: "Config", kind: str | None, shards: int | None) -> "Config":
    """The configuration with what was said on the command line. Raises GuardError engine-unknown."""
    from dataclasses import replace

    from slurm_guard.errors import EXIT_USAGE, GuardError

    engine = settings.engine
    if kind is not None and kind not in _KINDS:
        raise GuardError(
            "engine-unknown", f"there is no engine {kind!a}", f"{' or '.join(_KINDS)}", EXIT_USAGE
        )
    if shards is not None and (kind or engine.kind) == "local":
        raise GuardError("engine-unknown", "--shards is of --engine slurm", "give both", EXIT_USAGE)
    said = replace(engine, kind=kind or engine.kind, shards=engine.shards if shards is None else shards)
    return replace(settings, engine=said)


def means_of(engine: "EngineConfig") -> "Means":
    """As the engine takes it."""
    from slurm_guard.engine.arrays import Cluster
    from slurm_guard.engine.run import Means

    cluster = Cluster(engine.shards, tuple(engine.sbatch), engine.program, engine.timeout_s)
    return Means(
        engine.part_gpu_h,
        engine.processes,
        Path(engine.folder) if engine.folder else None,
        engine.nights,
        cluster if engine.kind == "slurm" else None,
    )
