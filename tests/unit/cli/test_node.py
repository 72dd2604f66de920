"""`slurm-guard node status`: alive and fresh, or silent since when and why."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.cli.node import status
from slurm_guard.doctor.pulse import STALE_S
from slurm_guard.errors import EXIT_FAILURE, EXIT_USAGE, GuardError
from slurm_guard.sampler.beat import read_boot_s
from slurm_guard.sampler.procfs import Proc
from tests.unit.sampler.fakes import Node

Captured = pytest.CaptureFixture[str]


class _Site:
    """A run folder as a sampler leaves it; this test's process plays the sampler."""

    def __init__(self, root: Path) -> None:
        self.config = root / "guard.toml"
        self.config.write_text(f'[node]\nrun_dir = "{root}/run"\n')
        self.node = Node(root, window_s=10)
        self.folder = root / "run" / "n1"

    def live(self) -> None:
        stat = Proc().stat(os.getpid())
        assert stat is not None
        self.write_pid(os.getpid(), stat.start_ticks)

    def write_pid(self, pid: int, start_ticks: int) -> None:
        (self.folder / "sampler.pid").write_text(f"{pid} {start_ticks}\n")

    def beat(self, age_s: float) -> None:
        (self.folder / "beat").write_text(f"{read_boot_s() - age_s:.1f}\n")

    def ask(self, **words: Any) -> None:
        status(config=self.config, **words)

    def refusal(self, **words: Any) -> GuardError:
        with pytest.raises(GuardError) as caught:
            self.ask(**words)
        return caught.value


@pytest.fixture
def site(tmp_path: Path) -> _Site:
    return _Site(tmp_path)


def test_a_living_sampler_is_shown_at_a_glance(site: _Site, capsys: Captured) -> None:
    site.node.ticket(4711, 1000, [1])
    site.node.ticket(4712, 1000, [9])
    site.node.turn(62)
    site.live()

    site.ask()

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("n1: watching, since 20")
    (gpu,) = [line for line in lines if "GPU-1" in line]
    assert gpu.split()[-1] == "4711"
    assert "300" in gpu.split()
    (resolved,) = [line for line in lines if line.split()[:1] == ["4711"]]
    (unresolved,) = [line for line in lines if line.split()[:1] == ["4712"]]
    assert resolved.endswith("runs")
    assert unresolved.endswith("runs, GPUs unresolved")
    assert any(line.startswith("tables") and "truncated: none" in line for line in lines)


@pytest.mark.parametrize(
    ("heard", "words"), [(True, "the kernel tells"), (False, "ENDS NOT HEARD"), (None, "–"), ([1], "–")]
)
def test_whether_ends_of_connections_are_heard_is_said(
    heard: Any, words: str, site: _Site, capsys: Captured
) -> None:
    site.node.turn(62)
    site.live()
    site.beat(3.0)
    _rewrite(site, tables={"ends_heard": heard})

    site.ask()

    assert f"sockets   {words}" in capsys.readouterr().out


@pytest.mark.parametrize(("told", "said"), [(True, False), (False, True), (None, False)])
def test_that_no_bytes_of_connections_are_told_is_said(
    told: bool | None, said: bool, site: _Site, capsys: Captured
) -> None:
    site.node.turn(62)
    site.live()
    site.beat(3.0)
    _rewrite(site, tables={"ends_heard": True, "bytes_counted": told})

    site.ask()

    assert ("BYTES NOT COUNTED" in capsys.readouterr().out) is said


def _rewrite(site: _Site, **words: Any) -> None:
    path = site.folder / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **words}))


def _second(site: _Site, capsys: Captured) -> str:
    site.ask()
    return capsys.readouterr().out.splitlines()[1]


def test_the_header_says_how_old_the_state_is(site: _Site, capsys: Captured) -> None:
    site.node.turn(2)
    site.live()

    _rewrite(site, at=time.time() - 30)
    assert _second(site, capsys).endswith("(30 s ago)")

    _rewrite(site, at=time.time() - 3600)
    assert _second(site, capsys).endswith(
        "(60 min ago): it is written each minute, so what follows is out of date"
    )


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (4e9, "ahead of this clock"),
        ("\x1b[2J", "of unknown age"),
        (None, "of unknown age"),
        (1e300, "ahead of this clock"),
        (float("nan"), "of unknown age"),
    ],
)
def test_a_state_whose_age_nobody_knows_says_so(site: _Site, capsys: Captured, at: Any, said: str) -> None:
    site.node.turn(2)
    site.live()
    _rewrite(site, at=at)

    assert said in _second(site, capsys)


def test_the_state_of_a_silent_sampler_is_told_from_the_present(site: _Site, capsys: Captured) -> None:
    site.node.turn(2)
    site.live()
    _rewrite(site, at=time.time() - 7200)
    site.beat(7200)

    site.refusal()

    second = capsys.readouterr().out.splitlines()[1]
    assert second.endswith("(2.0 h ago): what follows is how it was then, not now")


def test_json_has_all_of_it_and_the_judgement(site: _Site, capsys: Captured) -> None:
    site.node.turn(2)
    site.live()

    site.ask(as_json=True)

    found = json.loads(capsys.readouterr().out)
    assert (found["alive"], found["silence"], found["node"]) == (True, None, "n1")
    assert len(found["gpus"]) == 2


def test_a_stale_beat_says_since_when(site: _Site, capsys: Captured) -> None:
    site.node.turn(2)
    site.live()
    site.beat(STALE_S + 7200)

    refused = site.refusal()

    assert (refused.slug, refused.exit_code) == ("node-silent", EXIT_FAILURE)
    assert "has not moved since" in refused.sentence
    assert "2.0 h ago" in refused.sentence
    assert "SILENT" in capsys.readouterr().out


def test_one_that_said_goodbye_gives_its_reason(site: _Site) -> None:
    site.node.turn(2)
    site.node.loop.stop_reason = "memory"
    site.node.loop.stop("memory")
    site.write_pid(os.getpid(), 1)

    refused = site.refusal()

    assert refused.slug == "node-silent"
    assert refused.sentence.endswith(": memory")


def test_one_that_was_killed_is_told_from_one_that_left(site: _Site) -> None:
    site.node.turn(2)
    site.beat(300)
    site.write_pid(os.getpid(), 1)  # the pid is somebody else's by now

    refused = site.refusal()

    assert "without a last word" in refused.sentence
    assert "5 min ago" in refused.sentence


def test_a_sampler_that_just_started_after_one_that_left_is_no_longer_the_old_one(site: _Site) -> None:
    site.node.turn(2)
    site.live()
    (site.folder / "beat").unlink()

    assert "does not beat yet" in site.refusal().sentence


def test_json_is_printed_for_a_silent_one_too(site: _Site, capsys: Captured) -> None:
    site.node.turn(2)
    site.write_pid(os.getpid(), 1)

    site.refusal(as_json=True)

    assert json.loads(capsys.readouterr().out)["alive"] is False


def test_a_node_without_any_trace_is_silent_too(tmp_path: Path) -> None:
    config = tmp_path / "guard.toml"
    config.write_text(f'[node]\nrun_dir = "{tmp_path}/none"\n')

    with pytest.raises(GuardError) as caught:
        status(config=config)

    assert caught.value.slug == "node-silent"


def test_of_several_nodes_one_must_be_named(site: _Site) -> None:
    (site.folder.parent / "n2\x1b[31m").mkdir()
    site.node.turn(2)
    site.live()

    refused = site.refusal()
    site.ask(node="n1")

    assert (refused.slug, refused.exit_code) == ("node-several", EXIT_USAGE)
    assert "\x1b" not in refused.sentence


@pytest.mark.parametrize("name", ["", "..", "../n1", "a\0b"])
def test_a_name_that_leads_elsewhere_is_refused(site: _Site, name: str) -> None:
    assert site.refusal(node=name).slug == "node-name"


def test_a_status_may_hold_anything_and_cannot_paint_the_terminal(site: _Site, capsys: Captured) -> None:
    evil = "\x1b[2J\u202e\n" * 50
    site.live()
    site.beat(1)
    body = {
        "node": evil, "pid": evil, "version": [evil], "at": evil, "since_at": 1e300, "segments": {evil: 1},
        "gpus": [{"gpu": evil, "holders": [evil, 5], "power_mw": evil, "util_pct": {}}, evil, None],
        "runs": [{"job_id": evil, "asked": [evil], "since_at": -5, "window_end_at": evil}],
        "tables": evil, "counts": [], "parts": {"switch": {"off": evil}, "limits": 7, "status": None},
        "last_error": {"kind": evil, "text": evil, "at": None}, "n_helpers_hung": evil, "stopped": evil,
    }  # fmt: skip
    (site.folder / "status.json").write_text(json.dumps(body))

    site.ask()

    out = capsys.readouterr().out
    assert not {"\x1b", "\u202e"} & set(out)
    assert len(out.splitlines()) < 30


@pytest.mark.root
def test_who_may_not_read_it_is_told_so(site: _Site) -> None:
    site.node.turn(2)
    (site.folder / "status.json").chmod(0)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            site.config.parent.chmod(0o755)
            os.setuid(65534)
            status(config=site.config, node="n1")
        except GuardError as error:
            code = 42 if error.slug in ("node-unreadable", "config-unreadable") else 2
        finally:
            os._exit(code)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
