"""Laws of the simulation codes' readers: noise between the lines changes nothing, and no bytes raise."""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_guard.progress.protocol import Found
from slurm_guard.progress.registry import TEXT
from slurm_guard.progress.values import AT_MAX, AT_MIN, STEP_LIMIT

FIXTURES = Path(__file__).parents[1] / "fixtures" / "progress"
NAMES = (
    "md.log", "mdrun_v.err", "log.lammps", "lammps_multi.out", "openmm_stdout.out", "namd.out", "pw.out",
    "OSZICAR", "OSZICAR_md", "rsl.out.0000", "0.monitor.csv",
)  # fmt: skip
NOISE = st.sampled_from(
    [
        b"",
        b"WARNING: 3 dangling bonds\n",
        b"module load gcc\n",
        b"\x1b[31mslow\x1b[0m\n",
        b"Loading 5/9\n",
        b"# x\n",
    ]
)
JUNK = st.sampled_from(
    [
        b"nan",
        b"1e400",
        b"-",
        b"\0",
        b"9" * 40,
        b"1,5",
        b"\xff\xfe",
        b'"',
        b"\r",
        b"\x08",
        b"\xd9\xa3",
        b" ",
        b".",
    ]
)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(data: bytes, size: int = 1 << 20) -> Found:
    reader = TEXT.reader()
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size], at)
    return reader.finish()


def counts(found: Found) -> dict[tuple[str, str], list[int | None]]:
    return {(one.source, one.key): [claim.step for claim in one.claims] for one in found.series}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "md.log"])  # its rows follow at once
@quick
@given(data=st.data(), size=st.integers(1, 300))
def test_lines_of_others_between_its_own_change_nothing(name: str, data: st.DataObject, size: int) -> None:
    whole = (FIXTURES / name).read_bytes()
    lines = whole.splitlines(keepends=True)
    if name == "log.lammps":  # its heading follows the line on memory at once
        lines = whole.replace(b"Mbytes\n ", b"Mbytes\r ").split(b"\n")
        lines = [line.replace(b"\r", b"\n") + b"\n" for line in lines if line]
    noise = data.draw(st.lists(NOISE, min_size=len(lines), max_size=len(lines)))

    found = read(b"".join(line + other for line, other in zip(lines, noise, strict=True)), size)

    assert counts(found) == counts(read(whole))


@pytest.mark.parametrize("name", NAMES)
@quick
@given(data=st.data())
def test_junk_inside_a_log_makes_no_reader_raise_or_say_nonsense(name: str, data: st.DataObject) -> None:
    whole = (FIXTURES / name).read_bytes()
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(whole)))
        cut = data.draw(st.integers(0, 30))
        whole = whole[:at] + data.draw(JUNK) + whole[at + cut :]

    found = read(whole)

    for series in found.series:
        for claim in series.claims:
            assert claim.step is None or 0 <= claim.step < STEP_LIMIT
            assert claim.at is None or AT_MIN <= claim.at < AT_MAX
            assert 0 < claim.offset <= len(whole)
    assert all(": " in problem for problem in found.problems)


@pytest.mark.parametrize("name", NAMES)
def test_a_line_of_ten_megabytes_of_its_own_words_costs_milliseconds(name: str) -> None:
    whole = (FIXTURES / name).read_bytes()
    line = max(whole.splitlines(), key=len)
    begin_s = time.process_time()

    found = read(whole + line * (10_000_000 // len(line)) + b"\n" + whole)

    assert time.process_time() - begin_s < 2.0  # measured: 0.05 s; a multiple, not a percentage
    assert [problem for problem in found.problems if problem.startswith("long-lines")]


@pytest.mark.parametrize("name", NAMES)
def test_a_megabyte_of_the_longest_lines_of_its_own_words_is_read_in_a_moment(name: str) -> None:
    """What the engine does most, 256 lines of 4,096 bytes that nearly match."""
    whole = (FIXTURES / name).read_bytes()
    lines = [(line * (4000 // len(line)) + b"\n") for line in whole.splitlines() if line.strip()]
    data = whole + b"".join(lines * (256 // len(lines) + 1))
    begin_s = time.process_time()

    read(data)

    assert time.process_time() - begin_s < 2.0  # measured: below 0.1 s
