"""Real logs in tables and of simulation codes; what to expect was counted with DictReader, awk and grep."""

import csv
import os
from pathlib import Path

import pytest

from slurm_guard.progress.csvlog import CsvSource
from slurm_guard.progress.mark import Mark
from slurm_guard.progress.registry import TEXT
from slurm_guard.progress.unit import Input, Told, read_unit

pytestmark = pytest.mark.shared_data
DATA = Path(__file__).parents[2].parent / "shared" / "data"
SAMPLES = DATA / "progress_samples"
ALGOPERF = DATA / "progress" / "algoperf_algoperf_v05"


def read(*paths: Path) -> tuple[Told, list[Mark]]:
    """The first track of a real file, or of the event files of one folder."""
    if not all(path.exists() for path in paths) or not paths:
        pytest.skip("the shared data folder does not stand beside the checkout")
    fds = [os.open(path, os.O_RDONLY) for path in paths]
    try:
        inputs = [
            Input(i, fd, str(path), "fd", path.stat().st_size, 64 << 20)
            for i, (fd, path) in enumerate(zip(fds, paths, strict=True))
        ]
        told, marks = read_unit(inputs)
    finally:
        for fd in fds:
            os.close(fd)
    first = next((row for row in told if row.track), told[0])
    return first, [mark for mark in marks if mark.track == first.track]


def steps(marks: list[Mark]) -> list[int]:
    """The counter on training points."""
    return [mark.step for mark in marks if mark.phase == "train" and mark.step is not None]


@pytest.mark.parametrize(
    ("trial", "n", "first", "last"),
    [
        # distinct global_step by csv.DictReader, with the first and the last of them
        ("criteo1tb_jax", 164, 0, 10_742),
        ("criteo1tb_pytorch", 47, 1, 194),
        ("fastmri_jax", 235, 0, 18_019),
        ("fastmri_pytorch", 42, 1, 12_546),
        ("imagenet_resnet_jax", 224, 0, 186_666),
        ("imagenet_resnet_pytorch", 125, 1, 298_857),
        ("imagenet_vit_jax", 1509, 0, 132_601),
        ("imagenet_vit_pytorch", 183, 1, 728),
        ("librispeech_conformer_jax", 674, 0, 63_022),
        ("librispeech_conformer_pytorch", 44, 1, 88_011),
        ("librispeech_deepspeech_jax", 507, 0, 48_000),
        ("librispeech_deepspeech_pytorch", 33, 1, 79_149),
        ("ogbg_jax", 177, 0, 59_909),
        ("ogbg_pytorch", 196, 0, 28_012),
        ("wmt_jax", 930, 0, 87_243),
        ("wmt_pytorch", 58, 1, 229),
    ],
)
def test_algoperfs_csv_gives_the_steps_counted_in_it_and_agrees_with_its_event_files(
    trial: str, n: int, first: int, last: int
) -> None:
    told, marks = read(*ALGOPERF.glob(f"{trial}/*/measurements.csv"))
    _, events = read(*sorted(ALGOPERF.glob(f"{trial}/*/events.out.tfevents.*")))
    counted = [mark.step for mark in marks]

    assert (told.source, told.problems, len(counted)) == ("csv", [], n)
    assert (counted[0], counted[-1], {mark.segment for mark in marks}) == (first, last, {0})
    assert set(counted) <= {mark.step for mark in events}
    assert events[-1].step == last


def test_no_table_of_the_shared_data_that_is_no_log_is_read_as_one() -> None:
    """Accounting, traces, telemetry: none with a training's heading."""
    tables = [path for path in sorted(DATA.rglob("*.csv")) if "measurements" not in path.name]
    if not tables:
        pytest.skip("the shared data folder does not stand beside the checkout")
    for path in tables:
        with path.open(newline="", errors="replace") as file:
            assert len(next(csv.reader(file))) > 0

        assert CsvSource().claims(path.read_bytes()[:65_536], str(path)) == 0.0, path.name


@pytest.mark.parametrize(
    ("name", "source", "n", "first", "last"),
    [
        # grep -c 'iteration #': 6, numbered 1 to 6
        ("19_quantum_espresso_pw.out", "espresso", 6, 1, 6),
        # awk -F, 'NR>2 {n++; s+=$2}': 345 episodes, the first of 500 steps, 31236 in all
        ("22_sb3_monitor.csv", "monitor", 345, 500, 31_236),
        # the excerpt's electronic iterations are numbered 1, 2, 17, 18 and 1, 9: 18 + 9
        ("23_pymatgen_OSZICAR_excerpt.txt", "vasp", 6, 1, 27),
        # ten rows, Step 500 to 5000
        ("25_openmm_StateDataReporter.csv", "openmm", 10, 500, 5000),
    ],
)
def test_a_simulations_log_gives_the_steps_counted_in_it(
    name: str, source: str, n: int, first: int, last: int
) -> None:
    told, marks = read(SAMPLES / name)
    counted = steps(marks)

    assert (told.source, len(counted), counted[0], counted[-1]) == (source, n, first, last)
    assert {mark.segment for mark in marks} == {0}


def test_the_one_liners_of_gromacs_and_wrf_are_known() -> None:
    path = SAMPLES / "24_misc_one_liners.txt"
    if not path.exists():
        pytest.skip("the shared data folder does not stand beside the checkout")
    reader = TEXT.reader()
    reader.feed(path.read_bytes(), 0)

    claims = {one.source: one.claims for one in reader.finish().series}

    assert [(c.step, c.phase) for c in claims["gromacs"]] == [
        (14_096_940, "checkpoint"),
        (14_097_000, "train"),
    ]
    # 2016-03-23_23:39:00: date(2016, 3, 23).toordinal() - 1 days and 85,140 s
    assert [c.step for c in claims["wrf"]] == [736_045 * 86_400 + 85_140]
