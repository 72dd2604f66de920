"""The processes of this machine: what they find in their environment."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import pytest

from slurm_guard.engine import local
from slurm_guard.engine.kept import work_of
from slurm_guard.engine.parts import Site
from slurm_guard.engine.plan import Part
from slurm_guard.engine.tasks import Task
from tests.shapes import facts_of
from tests.unit.engine import slow

POLARS = "dirty_decay_ms:500,muzzy_decay_ms:1000"  # as Polars leaves it in ours


def _last(said: str) -> dict[str, str]:
    """As the allocator reads it: what stands last holds."""
    return dict(word.split(":") for word in said.split(","))


@pytest.mark.parametrize("said", [None, POLARS])
def test_they_keep_memory_for_a_while_with_one_thread_each(
    monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    monkeypatch.delenv("_RJEM_MALLOC_CONF", raising=False)
    monkeypatch.setenv("POLARS_MAX_THREADS", "7")
    if said is not None:
        monkeypatch.setenv("_RJEM_MALLOC_CONF", said)

    with local._environment():
        inside = dict(os.environ)

    assert _last(inside["_RJEM_MALLOC_CONF"])["dirty_decay_ms"] == "10000"
    assert inside["POLARS_MAX_THREADS"] == "1"
    assert os.environ.get("_RJEM_MALLOC_CONF") == said
    assert os.environ["POLARS_MAX_THREADS"] == "7"


def test_what_the_site_says_of_the_allocator_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    site = f"{POLARS},dirty_decay_ms:0,narenas:2"
    monkeypatch.setenv("_RJEM_MALLOC_CONF", site)

    with local._environment():
        assert os.environ["_RJEM_MALLOC_CONF"] == site


def test_polars_leaves_its_own_words_as_we_take_them() -> None:
    import polars as pl  # noqa: F401

    assert os.environ["_RJEM_MALLOC_CONF"].startswith(POLARS)


def test_the_longest_task_is_begun_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that is begun last is waited for alone: the largest run of a night takes minutes."""
    begun: list[str] = []

    class Pool:
        def __enter__(self) -> "Pool":
            return self

        def __exit__(self, *_: object) -> None: ...

        def submit(self, _: object, task: Task) -> Future[None]:
            begun.append(task.name)
            done: Future[None] = Future()
            done.set_result(None)
            return done

    monkeypatch.setattr(local, "ProcessPoolExecutor", lambda *_: Pool())
    with work_of(None, 0, ("", "", 0.0, 0.0)) as work:
        site = Site(facts_of("honest"), (), tmp_path, None)  # type: ignore[arg-type]
        none = Part((), (), frozenset(), frozenset())
        tasks = [
            Task("survey", name, (), none, size=size) for name, size in (("a", 1.0), ("c", 9.0), ("b", 9.0))
        ]
        told: list[int] = []

        with local.in_processes(work, site, 2) as make:
            make(tasks, told.append)

    assert begun == ["b", "c", "a"]
    assert told == [1, 2, 3]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_whoever_ends_the_head_ends_its_processes(how: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C reaches all of them at once, and is told once."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "begun").mkdir()
    head = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.engine.slow", str(tmp_path / "begun")],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert _within(150.0, lambda: len(list((tmp_path / "begun").iterdir())) == slow.N)
        workers = [int(path.name) for path in (tmp_path / "begun").iterdir()]
        assert all(map(_lives, workers))

        if how == signal.SIGINT:
            os.killpg(head.pid, how)
        else:
            head.send_signal(how)

        _, said = head.communicate(timeout=60.0)
        assert _within(60.0, lambda: not any(map(_lives, workers)))
        assert "SpawnProcess" not in said
    finally:
        with suppress(ProcessLookupError):
            os.killpg(head.pid, signal.SIGKILL)


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < until_s:
        time.sleep(0.05)
    return found


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
