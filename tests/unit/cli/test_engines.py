"""`audit --engine` and `--shards`, and what they make of the configuration."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slurm_guard.cli import app as cli
from slurm_guard.cli.engines import means_of, with_engine
from slurm_guard.config import Config, EngineConfig, load_config
from slurm_guard.engine.arrays import Cluster
from slurm_guard.engine.run import Means
from slurm_guard.errors import EXIT_USAGE, GuardError

cli._register()


def test_what_is_said_holds_before_what_is_configured() -> None:
    on_slurm = replace(Config(), engine=EngineConfig(kind="slurm", shards=3))

    assert with_engine(Config(), None, None).engine == EngineConfig()
    assert with_engine(on_slurm, None, None).engine.shards == 3
    assert with_engine(on_slurm, "local", None).engine.kind == "local"
    assert with_engine(Config(), "slurm", 7).engine == EngineConfig(kind="slurm", shards=7)


@pytest.mark.parametrize(("kind", "shards"), [("cloud", None), (None, 4), ("local", 4)])
def test_an_unknown_engine_and_shards_of_none_are_refused(kind: str | None, shards: int | None) -> None:
    with pytest.raises(GuardError) as refused:
        with_engine(Config(), kind, shards)

    assert (refused.value.slug, refused.value.exit_code) == ("engine-unknown", EXIT_USAGE)


def test_the_configuration_as_the_engine_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "guard.toml"
    path.write_text(
        '[engine]\nkind = "slurm"\nshards = 5\nfolder = "/shared/parts"\nnights = 0\nprocesses = 2\n'
        'sbatch = ["--mem=4G"]\nprogram = "/opt/slurm-guard"\ntimeout_s = 60\npart_gpu_h = 10.0\n'
    )

    assert means_of(EngineConfig()) == Means()
    assert means_of(load_config(path).engine) == Means(
        10.0, 2, Path("/shared/parts"), 0, Cluster(5, ("--mem=4G",), "/opt/slurm-guard", 60.0)
    )


def test_a_kind_that_is_none_is_named_by_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "guard.toml"
    path.write_text('[engine]\nkind = "ray"\n')

    with pytest.raises(GuardError, match="kind must be local or slurm"):
        load_config(path)


def test_the_command_of_job_arrays_is_not_listed_and_says_what_it_is_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    threads = os.environ.get("POLARS_MAX_THREADS", "1")
    monkeypatch.setenv("POLARS_MAX_THREADS", threads)

    listed = CliRunner().invoke(cli.app, ["--help"]).output
    done = CliRunner().invoke(cli.app, ["audit-shard", str(tmp_path), "survey-0"])

    assert "audit-shard" not in listed
    assert isinstance(done.exception, GuardError)
    assert done.exception.slug == "shard-alone"
