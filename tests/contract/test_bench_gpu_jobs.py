"""The jobs of a recorded night are composed as their programs read them, and known by the judge."""

from pathlib import Path

import pytest

from bench.gpu import night, slurmd, work
from bench.gpu.jobs import make_jobs
from slurm_guard.intent import TRAINING

UNIT_MS = dict.fromkeys(work.UNITS, 5.0)


@pytest.mark.parametrize("name", ["first", "second"])
def test_every_job_of_a_night_is_understood_by_its_program(name: str) -> None:
    site = slurmd.Site(Path("/none"), "nobody", "python3", Path("/none"), None)

    for number, job in enumerate(make_jobs(name, 48.0), 9001):
        first, beside = night._commands(site, job, number, UNIT_MS)
        options = [work.parse(first[2:])]
        if beside is not None:
            options.append(work.parse(beside[2].partition("exec ")[2].split()[2:]))
            assert options[1].unit_ms == UNIT_MS[options[1].extra_kind]
        diverted = [one for one in options if one.kind in ("neighbour", "printer") or one.extra > 0]
        assert [one.extra_kind for one in diverted] == ([] if job.unit is None else [job.unit])
        assert (job.unit is None) == job.name.startswith("honest")
        assert job.task in TRAINING
        assert options[0].truth == f"/none/truth/{number}.jsonl"


def test_no_job_of_the_second_night_was_in_the_first() -> None:
    first, second = ({job.name for job in make_jobs(name, 48.0)} for name in ("first", "second"))

    assert not first & second
