"""Logs of simulation codes as they print them, and texts that only look like them."""

from pathlib import Path

import pytest

from slurm_guard.progress.pick import pick
from slurm_guard.progress.protocol import Claim, Found, Series
from slurm_guard.progress.registry import TEXT

FIXTURES = Path(__file__).parents[2] / "fixtures" / "progress"


def read(text: str) -> Found:
    """All that the text source finds."""
    reader = TEXT.reader()
    reader.feed(text.encode(), 0)
    return reader.finish()


def best(name: str) -> Series:
    """The first choice of a fixture."""
    return pick(read((FIXTURES / name).read_text()).series)[0].series


def phases(name: str) -> list[tuple[str, float | None]]:
    return [(claim.phase, claim.at) for claim in read((FIXTURES / name).read_text()).phases]


def steps(claims: list[Claim]) -> list[int | None]:
    return [claim.step for claim in claims if claim.advances]


DAY = 63_904_809_600  # 2026-01-24 in seconds since the year 1


@pytest.mark.parametrize(
    ("name", "source", "key", "expected"),
    [
        ("md.log", "gromacs", "step", [0, 10_000, 20_000]),
        ("mdrun_v.err", "gromacs", "step", [100, 200, 300]),
        ("log.lammps", "lammps", "step", [0, 100, 200, 300, 300, 400, 500]),
        ("lammps_multi.out", "lammps", "step", [0, 50]),
        ("openmm_stdout.out", "openmm", "step", [1000, 2000, 3000]),
        ("namd.out", "namd", "step", [0, 500, 500, 1000]),
        ("pw.out", "espresso", "scf", [1, 2, 3, 4, 5]),
        ("OSZICAR", "vasp", "scf", [1, 2, 3, 4, 5]),
        ("OSZICAR_md", "vasp", "ionic", [1, 2, 3]),
        ("rsl.out.0000", "wrf", "step", [DAY + 43_260, DAY + 43_320, DAY + 43_380]),
        ("0.monitor.csv", "monitor", "step", [20, 51, 64, 104]),
    ],
)
def test_each_codes_log_gives_the_steps_that_stand_in_it(
    name: str, source: str, key: str, expected: list[int]
) -> None:
    series = best(name)

    assert (series.source, series.key, steps(series.claims)) == (source, key, expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("md.log", [("init", 1_785_568_777.0), ("end", 1_785_570_302.0)]),
        ("namd.out", [("end", None)]),
        ("pw.out", [("init", 1_785_568_777.0), ("end", None)]),
        ("rsl.out.0000", [("checkpoint", None), ("end", None)]),
    ],
)
def test_beginning_checkpoint_and_end_are_marks_with_the_time_that_is_printed(
    name: str, expected: list[tuple[str, float | None]]
) -> None:
    assert phases(name) == expected


def test_gromacs_tells_its_total_and_a_checkpoint_with_its_time() -> None:
    claims = best("md.log").claims
    saved = next(claim for claim in claims if claim.phase == "checkpoint")

    assert {claim.total for claim in claims if claim.advances} == {20_000}
    assert (saved.step, saved.at, saved.naive, saved.advances) == (12_340, 1_785_569_677.0, True, False)


def test_namd_prints_a_steps_time() -> None:
    assert [claim.took_s for claim in best("namd.out").claims if claim.took_s] == [0.00703412]


def test_a_monitors_rows_have_times_until_the_run_was_resumed() -> None:
    assert [claim.at for claim in best("0.monitor.csv").claims] == [
        1_785_568_778.75, 1_785_568_780.0, 1_785_568_780.25, None,
    ]  # fmt: skip


def test_the_yaml_table_of_lammps_is_read() -> None:
    text = (
        "---\nkeywords: ['Step', 'Temp', 'Press']\ndata:\n  - [0, 3.1, -1]\n  - [50, 1.5, nan]\n...\n- [x]\n"
    )

    assert steps(read(text).series[0].claims) == [0, 50]


@pytest.mark.parametrize("name", ["log.lammps", "openmm_stdout.out"])
def test_the_table_of_a_killed_run_does_not_go_on_for_ever(name: str) -> None:
    rows = (FIXTURES / name).read_text().splitlines()
    heading = next(i for i, row in enumerate(rows) if "Step" in row)
    table = "\n".join(rows[: heading + 3]) + "\n"

    claims = read(table + "words\n" * 1000 + rows[heading + 2].replace("1", "7") + "\n").series[0].claims

    assert len(claims) == 2


def test_a_table_survives_labels_of_ranks_and_colours() -> None:
    text = "".join(f"0: {line}\n" for line in (FIXTURES / "log.lammps").read_text().splitlines())

    assert steps(pick(read(text).series)[0].series.claims) == [0, 100, 200, 300, 300, 400, 500]


@pytest.mark.parametrize("name", ["log.lammps", "openmm_stdout.out", "0.monitor.csv", "md.log"])
def test_a_table_that_is_cut_between_chunks_is_the_same(name: str) -> None:
    data = (FIXTURES / name).read_bytes()
    reader = TEXT.reader()
    for at in range(len(data)):
        reader.feed(data[at : at + 1], at)

    assert reader.finish() == read(data.decode())


@pytest.mark.parametrize(
    "text",
    [
        "           Step           Time\n          x        0.00000\n",
        "Step Time\n 1 2.0\n",
        "           Step           Time\n\nsome words\n          10000       20.00000\n",
        "the first step 100, will finish soon\n",
        "Writing checkpoint, step twelve at Sat Aug  1 07:34:37 2026\n",
        "   Step          Temp\n  0   3\n 100   4\n",  # no line on memory before it
        "Per MPI rank memory allocation (min/avg/max) = 3 | 3 | 3 Mbytes\n Atoms Temp\n 100 3\n 200 3\n",
        "Per MPI rank memory allocation (min/avg/max) = 3 | 3 | 3 Mbytes\nStep Temp\n1.5 3\n-3 3\n7 8 9\n7\n",
        "Per MPI rank memory allocation (min/avg/max) = 3 | 3 | 3 Mbytes\nStep Temp\nabc 3\n٣ 3\n",
        "keywords: [a, Step]\n  - [1, 2]\n",
        '#"Name","Age"\nx,1\n2,2\n',
        '#"Step","Colour"\n1,2\n',
        '#"Step","Speed (ns/day)"\nnan,2\n1.5,3\n-1,2\n',
        "ENERGY: 12 kJ were used\nENERGY: 100 1.0 2.0\n",
        "Energy:     500      2111.1001      1812.2002\n",
        "TIMING: 500 s in all\n",
        "iteration # 3 of the loop\n     iteration #  3\n",
        "   JOB DONE. Or so it seems\n",
        "DAV: 1 of 3 files\nRMM:   9\n",
        "   1 F= 3 E0= 4\nlet F= -.3E+01\n",
        "Timing for main: time 2026-13-24_12:01:00 on domain   1:    3.20417 elapsed seconds\n",
        "Timing for main: time 2026-01-24_12:01:00 on domain   2:    3.20417 elapsed seconds\n",
        "Timing for main: time 2026-01-24_12:01:00 on domain   1:",
        "r,l,t\n20.0,20,1.25\n",
        '#{"t_start": "yesterday"}\nr,l,t\n20.0,20,1.25\n',
    ],
)
def test_near_misses_are_no_progress(text: str) -> None:
    assert [one for one in read(text).series if any(c.advances for c in one.claims)] == []


def test_conjugate_gradients_of_old_vasp_are_iterations() -> None:
    text = "CG :  1   -.13238703E+04-.132E+04-.934E+02  56\nCG :  2   -.13391360E+04-.152E+02 82\n"

    assert steps(read(text).series[0].claims) == [1, 2]


def test_two_programs_in_one_file_count_on() -> None:
    once = (FIXTURES / "pw.out").read_text()

    claims = pick(read(once + once).series)[0].series.claims

    assert steps(claims) == list(range(1, 11))
