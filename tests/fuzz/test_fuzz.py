"""Every fuzz target for a second, and every file that once broke a law."""

import subprocess
import sys
from pathlib import Path

import pytest

from slurm_guard.progress.registry import SOURCES, TEXT
from slurm_guard.progress.text import TextReader
from tests.fuzz.edits import Piece
from tests.fuzz.laws import hold
from tests.fuzz.targets import TARGETS
from tests.fuzz.whole import CAMPAIGNS, PATHS, fits, rising, through

ROOT = Path(__file__).parents[2]
KEPT = sorted((Path(__file__).parent / "regressions").glob("*.*"))


@pytest.mark.slow
@pytest.mark.patient
@pytest.mark.parametrize("name", sorted(CAMPAIGNS))
def test_a_second_of_hurt_files_breaks_no_law(name: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.fuzz", "one", name, "--seconds", "1", "--state", str(tmp_path)]

    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_reader_has_a_target() -> None:
    text = TEXT.reader()
    assert isinstance(text, TextReader)
    lines = {source.name for source in text._sources}
    files = {source.name for source in SOURCES} - {"text"}

    assert lines | files <= set(TARGETS)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_a_file_that_broke_a_law_breaks_none_now(path: Path) -> None:
    """Named `<target>.<what it was>`."""
    name = path.name.partition(".")[0]
    data = path.read_bytes()

    for size in (1, 7, 4_096):
        hold(TARGETS[name], [Piece(data, False)], size)
    for place, how in PATHS:
        rising(through(data, place, how, 64 << 20)[1])


def test_an_answer_with_one_row_out_of_shape_gives_no_points() -> None:
    from slurm_guard.progress.parser_child import _checked

    answer = _checked(b'["mark", 0, "x"]\n["end", false]\n', {0}, None)

    fits(answer)
    assert answer.problem is not None
