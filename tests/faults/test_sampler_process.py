"""The sampler as a process on a machine without NVML: one per node, told to stop, killed, started again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm_guard import wire
from slurm_guard.cli.node import status
from slurm_guard.errors import GuardError
from tests.unit.sampler.listener import Listener, listening

ROOT = Path(__file__).resolve().parents[2]


class _Site:
    """A configuration in a temporary folder, and samplers started on it; their words go to `log`."""

    def __init__(self, folder: Path, log: Listener) -> None:
        self.folder, self.log = folder, log
        self.config = folder / "guard.toml"
        self.write_config()
        self.told: list[dict[str, Any]] = []
        self.started: list[subprocess.Popen[bytes]] = []

    def write_config(self, **more: float) -> None:
        keys = {"sample_interval_s": 0.1, "table_interval_s": 0.3, "window_s": 1.0, **more}
        self.config.write_text(
            f'[node]\nrun_dir = "{self.folder}/run"\nspool_dir = "{self.folder}/spool"\n'
            f'disabled = "{self.folder}/disabled"\ngres_devices = ["/dev/nvidia0"]\n'
            + "".join(f"{key} = {value}\n" for key, value in keys.items())
        )

    def start(self, *more: str, gpus_of: Path | None = None, **environ: str) -> subprocess.Popen[bytes]:
        """`gpus_of`: where the package lies whose sampler shall find a simulated GPU."""
        command = [sys.executable, "-I", str(ROOT / "slurm_guard" / "sampler" / "__main__.py")]
        if gpus_of is not None:
            command = [sys.executable, str(ROOT / "tests" / "faults" / "gpu_sampler.py"), str(gpus_of)]
        words = ["--config", str(self.config), "--node", "n1", "--log", self.log.path, *more]
        kept = {key: value for key, value in os.environ.items() if key != "INVOCATION_ID"}
        child = subprocess.Popen([*command, *words], env={**kept, **environ})
        self.started.append(child)
        return child

    def records(self, kind: str | None = None) -> list[dict[str, Any]]:
        spool = self.folder / "spool" / "n1"
        paths = sorted([*spool.glob("sealed/*"), *spool.glob("open/*")], key=lambda p: p.name)
        lines = [line for path in paths for line in _lines_of(path)]
        found = [json.loads(line) for line in lines]
        return [record for record in found if kind is None or record["k"] == kind]

    def wait_until(self, what: Callable[[], Any]) -> Any:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if found := what():
                return found
            time.sleep(0.05)
        raise AssertionError("it did not come about")

    def wait_for(self, name: str, n: int = 1) -> list[dict[str, Any]]:
        def found() -> list[dict[str, Any]]:
            events = [r for r in self.records("event") if r["name"] == name]
            return events if len(events) >= n else []

        events: list[dict[str, Any]] = self.wait_until(found)
        return events

    def hear(self, name: str, n: int = 1) -> list[dict[str, Any]]:
        """Lines in the log about one kind of event."""

        def heard() -> list[dict[str, Any]]:
            self.told += self.log.bodies()
            lines = [body for body in self.told if body["event"] == name]
            return lines if len(lines) >= n else []

        lines: list[dict[str, Any]] = self.wait_until(heard)
        return lines

    def ticket(self, job_id: int) -> str:
        """A run on GRES 0, as the prolog writes it."""
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        run = wire.run_key("c", job_id, "n1", boot_id, time.time())
        nulls: dict[str, Any] = dict.fromkeys(wire.Ticket._fields)
        fields = {
            **nulls, "run": run, "at": time.time(), "node": "n1", "cluster": "c", "job_id": job_id,
            "boot_id": boot_id, "uid": 4711, "gid": 4711, "gpus": [0], "why": {}, "format": 1,
        }  # fmt: skip
        for root in ("run", "spool"):
            path = self.folder / root / "n1" / "tickets" / f"{wire.stem(run)}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".new").write_text(wire.encode(wire.Ticket(**fields)))
            path.with_suffix(".new").rename(path)
        return run

    def end(self, run: str, job_id: int) -> None:
        """The epilog's mark."""
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        mark = wire.EndMark(
            run, time.time(), "n1", "c", job_id, boot_id, None, 0, "0:0", None, None, [], None, {}
        )
        path = self.folder / "run" / "n1" / "ends" / f"{job_id}_{int(mark.at * 1000)}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".new").write_text(wire.encode(mark))
        path.with_suffix(".new").rename(path)


def _lines_of(path: Path) -> list[str]:
    """Whole lines of a file that may be renamed or written to at this moment."""
    for place in (path, path.parent.parent / "sealed" / path.name):
        try:
            text = place.read_text()
        except FileNotFoundError:
            continue
        return text[: text.rfind("\n") + 1].splitlines()
    return []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[_Site]:
    with listening() as log:
        site = _Site(tmp_path, log)
        yield site
        for child in site.started:
            child.kill()
            child.wait()


def test_told_to_stop_it_says_why_and_leaves_nothing_open(site: _Site) -> None:
    child = site.start()
    site.wait_for("sampler-started")

    child.terminate()

    assert child.wait(10) == 0
    assert [r["detail"]["reason"] for r in site.wait_for("sampler-stopped")] == ["SIGTERM"]
    assert not list((site.folder / "spool" / "n1" / "open").iterdir())
    assert [r["reason"] for r in site.records() if r["k"] == "tail"] == ["sampler-stopped"]


@pytest.mark.parametrize(("environ", "n"), [({}, 2), ({"INVOCATION_ID": "x"}, 1)])
def test_too_much_memory_begins_anew_in_its_place_once_and_then_ends(
    site: _Site, environ: dict[str, str], n: int
) -> None:
    site.write_config(memory_mib=1)
    child = site.start(gpus_of=None, **environ)

    assert child.wait(60) == 0

    started, stopped = site.wait_for("sampler-started", n), site.wait_for("sampler-stopped", n)
    assert [r["detail"]["pid"] for r in started] == [child.pid] * n
    assert [r["detail"]["reason"] for r in stopped] == ["memory"] * n
    assert not list((site.folder / "spool" / "n1" / "open").iterdir())
    heads, tails = ([r for r in site.records() if r["k"] == kind] for kind in ("head", "tail"))
    assert [head["prev_sha256"] for head in heads[1:]] == [tail["sha256"] for tail in tails[:-1]]
    assert [r for r in site.records("event") if r["name"] == "segment-recovered"] == []


def test_a_second_sampler_of_the_node_leaves_at_once_and_quietly(site: _Site) -> None:
    site.start()
    site.wait_for("sampler-started")
    pid = (site.folder / "run" / "n1" / "sampler.pid").read_text()

    second = site.start()

    assert second.wait(15) == 0
    assert (site.folder / "run" / "n1" / "sampler.pid").read_text() == pid
    assert len(site.wait_for("sampler-started")) == 1


def test_killed_it_is_taken_up_by_the_next_one_without_a_hole_in_the_chain(site: _Site) -> None:
    first = site.start()
    site.wait_for("sampler-started")
    first.send_signal(signal.SIGKILL)
    first.wait()

    site.start()

    (recovered,) = site.wait_for("segment-recovered")
    assert recovered["detail"]["file"].startswith("node_")
    heads = [r for r in site.records() if r["k"] == "head"]
    tails = [r for r in site.records() if r["k"] == "tail"]
    assert [h["seq"] for h in heads] == [0, 1]
    assert (tails[0]["reason"], heads[1]["prev_sha256"]) == ("recovered", tails[0]["sha256"])


def test_it_holds_nothing_of_its_parents_and_no_secret_mode(site: _Site) -> None:
    child = site.start()
    site.wait_for("sampler-started")
    pid, start_ticks = (site.folder / "run" / "n1" / "sampler.pid").read_text().split()

    stat = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    assert (int(pid), int(start_ticks)) == (child.pid, int(stat[19]))
    for path in (site.folder / "spool" / "n1").rglob("*"):
        assert path.stat().st_mode & 0o027 == 0


@pytest.mark.parametrize("words", [["--nod", "n1"], ["--node"], ["--node", "../x"]])
def test_wrong_words_are_a_usage_error(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-m", "slurm_guard.sampler", *words]

    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=30, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage:")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")
    config = tmp_path / "guard.toml"
    config.write_text(f'[node]\nrun_dir = "{tmp_path}/run"\nspool_dir = "{tmp_path}/spool"\n')
    command = [sys.executable, "-I", "-m", "slurm_guard.sampler", "--config", str(config), "--node", "n1"]

    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=30, check=False)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert os.fspath(tmp_path) in done.stderr


def test_its_first_and_last_word_are_in_the_log(site: _Site) -> None:
    child = site.start()
    site.hear("sampler-started")

    child.terminate()

    assert child.wait(30) == 0
    assert site.hear("sampler-stopped")[0]["reason"] == "SIGTERM"


@pytest.mark.parametrize(
    ("text", "mode", "slug"),
    [("[node]\nsample_interval_s = 'x'\n", 0o644, "config-type"), ("", 0o666, "config-unsafe")],
)
def test_a_configuration_that_is_wrong_is_told_where_nobody_sees_its_errors(
    site: _Site, text: str, mode: int, slug: str
) -> None:
    site.config.write_text(text)
    site.config.chmod(mode)

    child = site.start()

    assert child.wait(30) == 2
    (word,) = site.hear("sampler-stopped")
    assert word["reason"].startswith(f"error: {slug}: ")


def test_keys_of_another_release_are_passed_over_and_told(site: _Site) -> None:
    site.config.write_text(site.config.read_text() + "next_key = 1\n[next_table]\nx = 2\n[mail]\nlater = 3\n")

    site.start()

    site.hear("sampler-started")
    assert site.hear("config-unknown")[0]["keys"] == ["node.next_key", "next_table", "mail.later"]


def test_a_fault_while_starting_is_told(site: _Site) -> None:
    (site.folder / "spool").mkdir()
    (site.folder / "spool" / "n1").write_text("in the way")

    child = site.start()

    assert child.wait(30) == 1
    (word,) = site.hear("sampler-stopped")
    assert word["reason"].startswith("error: sampler-folder: ")
    assert "spool/n1" in word["reason"]


def test_a_file_that_nobody_can_recover_is_set_aside_and_ends_nothing(site: _Site) -> None:
    (site.folder / "spool" / "n1" / "open").mkdir(parents=True)
    (site.folder / "spool" / "n1" / "open" / "deep.000000.jsonl").write_text("[" * 200_000 + "\n")
    (site.folder / "spool" / "n1" / "open" / "x.000000.jsonl").mkdir()

    child = site.start()

    assert site.hear("file-set-aside")[0]["file"] == "x.000000.jsonl"
    site.wait_until((site.folder / "run" / "n1" / "beat").exists)
    assert child.poll() is None


def test_a_fault_that_does_not_go_away_ends_it_with_a_last_word_in_log_and_status(site: _Site) -> None:
    child = site.start(gpus_of=ROOT, GPU_FAULT="the driver's words")

    (word,) = site.hear("sampler-stopped")
    assert child.wait(60) == 1
    assert [line["text"] for line in site.hear("sampler-error", n=10)] == ["the driver's words"] * 10
    assert word["reason"].startswith("error: RuntimeError at ")
    found = json.loads((site.folder / "run" / "n1" / "status.json").read_text())
    assert found["stopped"]["reason"] == word["reason"]
    assert found["last_error"]["text"] == "the driver's words"


@pytest.mark.parametrize(("words", "environ"), [(["--wait"], {}), ([], {"INVOCATION_ID": "x"})])
def test_under_systemd_the_second_one_waits_and_takes_over(
    site: _Site, words: list[str], environ: dict[str, Any]
) -> None:
    first = site.start()
    site.wait_for("sampler-started")
    with listening() as systemd:
        second = site.start(*words, NOTIFY_SOCKET=systemd.path, **environ)
        site.wait_until(lambda: b"".join(systemd.take()).startswith(b"READY=1\nWATCHDOG=1\nSTATUS=waiting"))
        assert second.poll() is None

        first.terminate()

        site.wait_for("sampler-started", n=2)
        site.wait_until(lambda: b"STATUS=following 0 runs" in b"".join(systemd.take()))
    pid = (site.folder / "run" / "n1" / "sampler.pid").read_text().split()[0]
    assert int(pid) == second.pid


def test_systemd_hears_ready_pulse_and_goodbye(site: _Site) -> None:
    with listening() as systemd:
        child = site.start(NOTIFY_SOCKET=systemd.path)
        heard = site.wait_until(systemd.take)
        child.terminate()
        child.wait(30)
        heard += systemd.take()

    assert heard[0].startswith(b"READY=1\nWATCHDOG=1\n")
    assert heard[-1] == b"STOPPING=1"


def test_status_tells_a_living_sampler_from_a_killed_one_and_one_that_left(
    site: _Site, capsys: pytest.CaptureFixture[str]
) -> None:
    child = site.start()
    site.wait_until((site.folder / "run" / "n1" / "status.json").exists)
    status(config=site.config)
    assert capsys.readouterr().out.startswith("n1: watching")
    child.kill()
    child.wait()
    with pytest.raises(GuardError, match="without a last word"):
        status(config=site.config)
    again = site.start()
    site.wait_for("sampler-started", n=2)
    site.wait_until(lambda: f'"pid":{again.pid},' in (site.folder / "run" / "n1" / "status.json").read_text())

    again.terminate()
    again.wait(30)

    with pytest.raises(GuardError, match=r"stopped .*: SIGTERM"):
        status(config=site.config)


def test_the_switch_of_the_whole_cluster_stops_it_within_the_tables_pace(site: _Site) -> None:
    shared = site.folder / "shared-disabled"
    site.config.write_text(site.config.read_text() + f'disabled_everywhere = "{shared}"\n')
    site.start()
    site.wait_for("sampler-started")

    shared.touch()

    assert site.wait_for("switched-off")[0]["detail"]["file"] == str(shared)
    shared.unlink()
    site.wait_for("switched-on")


def test_an_upgrade_loses_no_sealed_window_and_the_chain_goes_on(site: _Site, tmp_path: Path) -> None:
    site.write_config(segment_s=2.0)
    newer = tmp_path / "newer"
    shutil.copytree(ROOT / "slurm_guard", newer / "slurm_guard", ignore=shutil.ignore_patterns("__pycache__"))
    (newer / "slurm_guard" / "__init__.py").write_text('"""A later release."""\n\n__version__ = "9.9.9"\n')
    run = site.ticket(7)
    sealed = site.folder / "spool" / "n1" / "sealed"
    older = site.start(gpus_of=ROOT)
    site.wait_until(lambda: len(list(sealed.glob(f"{wire.stem(run)}.*"))) >= 2)
    older.kill()
    older.wait()
    before = {path.name: path.read_bytes() for path in sealed.iterdir()}
    n_before = len([w for w in site.records("window") if w["run"] == run])

    site.start(gpus_of=newer)

    site.wait_until(lambda: "9.9.9" in [h["sampler"] for h in site.records("head") if h["run"] == run])
    site.wait_until(lambda: len([w for w in site.records("window") if w["run"] == run]) > n_before)
    site.end(run, 7)
    seal_path = site.folder / "spool" / "n1" / "seals" / f"{wire.stem(run)}.json"
    seal = site.wait_until(lambda: seal_path.exists() and json.loads(seal_path.read_text()))
    assert {name: (sealed / name).read_bytes() for name in before} == before
    own = sorted(sealed.glob(f"{wire.stem(run)}.*"))
    bodies = [[json.loads(line) for line in path.read_text().splitlines()] for path in own]
    assert [body[0]["seq"] for body in bodies] == list(range(len(bodies)))
    links = [(body[0]["prev_sha256"], body[-1]["sha256"]) for body in bodies]
    assert [link[0] for link in links] == [None, *(link[1] for link in links[:-1])]
    assert [part[2] for part in seal["segments"]] == [link[1] for link in links]
    windows = [record for body in bodies for record in body if record["k"] == "window"]
    assert seal["n_windows"] == len(windows) > n_before
    assert {body[0]["sampler"] for body in bodies} == {"0.1.0", "9.9.9"}


def test_a_stopped_sampler_marks_its_gap_and_no_window_spans_it(site: _Site) -> None:
    site.write_config(gap_factor=20.0)  # 2 s: a busy machine may keep it waiting that long
    run = site.ticket(7)
    child = site.start(gpus_of=ROOT)
    site.wait_until(lambda: len([w for w in site.records("window") if w["run"] == run]) >= 2)

    child.send_signal(signal.SIGSTOP)
    stopped_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    n_before = len([w for w in site.records("window") if w["run"] == run])
    time.sleep(6)
    resumed_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    child.send_signal(signal.SIGCONT)

    stalled = site.wait_for("stalled")
    assert max(event["detail"]["stall_s"] for event in stalled) >= 5.5
    site.wait_until(lambda: len([w for w in site.records("window") if w["run"] == run]) >= n_before + 3)
    windows = [w for w in site.records("window") if w["run"] == run]
    spans = [(w["start_mono_s"], w["start_mono_s"] + (w["covered_ms"] + w["gap_ms"]) / 1000) for w in windows]
    assert [span for span in spans if span[0] < stopped_s + 1 and span[1] > resumed_s - 1] == []
    assert any(span[1] <= stopped_s + 1 for span in spans)
    assert any(span[0] >= resumed_s - 1 for span in spans)
