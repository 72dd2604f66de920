"""A collection that is killed: the next one says of which audited nights it had rows."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slurm_guard.cli.reopened import bringing, open_nights
from slurm_guard.config import Config, load_config
from slurm_guard.lake.ingest import collect
from slurm_guard.lake.untold import PREFIX
from tests.unit.cli.test_reopened import IN_IT, NIGHT
from tests.unit.lake.test_compact import put_segment

SAID = f"{NIGHT} was audited before this came: "
# The command as it is, but that the process dies once it has taken the first node.
DIES = """
import os, signal, sys
from slurm_guard.cli.app import main
from slurm_guard.lake import ingest
take, how = ingest._Collector.take_node, signal.Signals[sys.argv[1]]
def take_and_die(self, spool, node):
    take(self, spool, node)
    os.kill(os.getpid(), how)
    signal.pause()
ingest._Collector.take_node = take_and_die
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["slurm-guard", *sys.argv[2:]]
main()
"""


@pytest.fixture
def site(tmp_path: Path) -> tuple[Path, Config]:
    """A lake with an older row, from which a night was audited; two nodes have rows of it that come late."""
    path = tmp_path / "guard.toml"
    path.write_text(f'[lake]\npath = "{tmp_path}/lake"\n[report]\npath = "{tmp_path}/reports"\n', "utf-8")
    put_segment(tmp_path / "early", "n9", 0)
    collect([tmp_path / "early"], tmp_path / "lake")
    for file in (tmp_path / "lake").rglob("*.parquet"):
        os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 120))
    document = tmp_path / "reports" / NIGHT / "audit.json"
    document.parent.mkdir(parents=True)
    document.write_text("{}", "utf-8")
    os.utime(document, (document.stat().st_atime, document.stat().st_mtime - 60))
    for node in ("n1", "n2"):
        put_segment(tmp_path / "spool", node, 0)
    return path, load_config(path)


def _collect(site: Path, *, dies_by: str = "") -> str:
    whole = [str(Path(sys.executable).with_name("slurm-guard"))]
    program = [sys.executable, "-c", DIES, dies_by] if dies_by else whole
    asked = ["collect", "--config", str(site), "--spool", str(site.with_name("spool"))]
    done = subprocess.run([*program, *asked], capture_output=True, text=True, check=False)
    ends = {"": 0, "SIGINT": 130}
    assert done.returncode == (ends[dies_by] if dies_by in ends else -signal.Signals[dies_by]), done.stderr
    return done.stdout


def _marks(lake: Path) -> list[str]:
    return [path.name for path in lake.iterdir() if path.name.startswith(PREFIX)]


@pytest.mark.parametrize("by", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_the_next_collection_says_what_a_killed_one_had_brought(site: tuple[Path, Config], by: str) -> None:
    path, settings = site
    lake = Path(settings.lake.path)

    before = _collect(path, dies_by=by)
    n_open, n_marks = len(open_nights(settings, lake)), len(_marks(lake))
    after = _collect(path)

    assert (SAID in before, n_open, n_marks) == (False, 0, 1)
    assert f"{SAID}2 runs on 2 nodes" in after  # and not the row that was told long before
    assert open_nights(settings, lake) == [NIGHT]
    assert _marks(lake) == []
    assert SAID not in _collect(path)


def test_what_came_before_the_night_was_audited_is_in_its_document(site: tuple[Path, Config]) -> None:
    path, settings = site
    lake = Path(settings.lake.path)
    _collect(path, dies_by="SIGKILL")
    for file in (*lake.rglob("*.parquet"), *lake.glob(f"{PREFIX}*")):
        os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 60))
    document = Path(settings.report.path) / NIGHT / "audit.json"
    os.utime(document, (document.stat().st_atime, document.stat().st_mtime + 30))

    after = _collect(path)

    assert f"{SAID}1 runs on 1 nodes" in after  # of the node that the killed one did not come to
    assert _marks(lake) == []


def test_what_somebody_brings_at_the_moment_is_his_to_say(site: tuple[Path, Config]) -> None:
    _, settings = site
    lake = Path(settings.lake.path)

    with bringing(lake, settings) as mine:
        collect([lake.with_name("spool")], lake)
        with bringing(lake, settings) as others:
            assert (mine, others) == ([], [])
        mine.append(IN_IT)
        assert len(_marks(lake)) == 1
    assert open_nights(settings, lake) == [NIGHT]
    assert _marks(lake) == []


def test_what_could_be_written_nowhere_is_said_again(
    site: tuple[Path, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, settings = site
    lake = Path(settings.lake.path)
    with monkeypatch.context() as full:
        full.setattr("slurm_guard.cli.reopened._add", _no_room)
        with bringing(lake, settings) as came:
            came += collect([lake.with_name("spool")], lake).arrived

    assert len(_marks(lake)) == 1
    assert f"{SAID}2 runs on 2 nodes" in _collect(path)


def _no_room(path: Path, text: str) -> None:
    raise OSError(28, "No space left on device")


def test_where_nothing_was_collected_nothing_is_marked(tmp_path: Path, site: tuple[Path, Config]) -> None:
    with bringing(tmp_path / "none", site[1]), bringing(tmp_path, site[1]):
        assert not (tmp_path / "none").exists()
        assert _marks(tmp_path) == []


def test_of_an_unexpected_end_the_next_collection_says_what_was_brought(site: tuple[Path, Config]) -> None:
    path, settings = site
    lake = Path(settings.lake.path)

    def fail_late() -> None:
        collect([lake.with_name("spool")], lake)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), bringing(lake, settings):
        fail_late()

    assert open_nights(settings, lake) == []
    assert f"{SAID}2 runs on 2 nodes" in _collect(path)


def test_of_many_marks_that_were_left_the_oldest_stands_for_all(site: tuple[Path, Config]) -> None:
    path, settings = site
    lake = Path(settings.lake.path)
    _collect(path, dies_by="SIGKILL")
    for n in range(1500):  # more than a process may have open
        (lake / f"{PREFIX}{n}").touch()

    assert f"{SAID}2 runs on 2 nodes" in _collect(path)
    assert _marks(lake) == []


def test_a_report_of_a_day_that_is_none_keeps_nobody_from_collecting(site: tuple[Path, Config]) -> None:
    path, settings = site
    odd = Path(settings.report.path) / "9999-12-31" / "audit.json"
    odd.parent.mkdir()
    odd.write_text("{}", "utf-8")
    _collect(path, dies_by="SIGKILL")

    assert f"{SAID}2 runs on 2 nodes" in _collect(path)


def test_files_that_cannot_be_read_hide_no_others_of_their_day(site: tuple[Path, Config]) -> None:
    path, settings = site
    lake = Path(settings.lake.path)
    _collect(path, dies_by="SIGKILL")
    for folder in {file.parent for file in lake.rglob("*.parquet")}:
        (folder / "0-gone.parquet").symlink_to(lake / "nowhere")
        (folder / "0-torn.parquet").write_bytes(b"PAR1 and no more")
        (folder / "c-0123456789abcdef.parquet").symlink_to(lake / "nowhere")
        (folder / "0-folder.parquet").mkdir()

    assert f"{SAID}2 runs on 2 nodes" in _collect(path)
    assert _marks(lake) == []
