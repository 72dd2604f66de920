"""A node that tests turn by hand: clock, GPUs, /proc, helper and readers; the loop itself is the real one."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from slurm_guard import wire
from slurm_guard.clock import FakeClock
from slurm_guard.config import Config, NodeConfig
from slurm_guard.sampler.helper import Answer, Ask, Helper
from slurm_guard.sampler.loop import Loop, Place
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.reader_child import Failure, Readers
from slurm_guard.sampler.reading import GpuInfo, GpuProc, GpuReading
from slurm_guard.sampler.runs import Folders
from tests.unit.sampler.readings import INFO, reading

BOOT = "abcdef01-2345-6789-abcd-ef0123456789"
NODE = "n1"


class FakeGpus:
    """GPUs at 300 W that do what a test sets."""

    def __init__(self, clock: FakeClock, n: int) -> None:
        self.clock = clock
        self.infos = [INFO._replace(uuid=f"GPU-{i}", gpu_index=i, minor=i) for i in range(n)]
        self.procs: dict[str, list[GpuProc] | None] = {info.uuid: [] for info in self.infos}
        self.lost: set[str] = set()
        self.fault: Exception | None = None
        self.closed = False

    def gpus(self) -> list[GpuInfo]:
        return self.infos

    def read(self, gpu: GpuInfo) -> GpuReading:
        if self.fault is not None:
            raise self.fault
        now = reading(self.clock.mono_s())._replace(at=self.clock.now_at())
        if gpu.uuid not in self.lost:
            return now
        names = [name for name in GpuReading._fields if name not in ("at", "mono_s", "why")]
        nulls: dict[str, Any] = dict.fromkeys(names)
        return now._replace(**nulls, why=dict.fromkeys(names, "GPU is lost"))

    def processes(self, gpu: GpuInfo) -> list[GpuProc] | None:
        return self.procs[gpu.uuid]

    def close(self) -> None:
        self.closed = True


class FakeProc(Proc):
    """/proc from a dictionary."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__("/nowhere")
        self.ticks_per_s = 100
        self.clock = clock
        self.files: dict[str, str] = {}
        self.link_texts: dict[str, str] = {}
        self.started: dict[int, int] = {}
        self.refused: set[int] = set()  # pids whose descriptors may not be looked at

    def start(
        self,
        pid: int,
        uid: int,
        cgroup: str = "0::/",
        ppid: int = 1,
        cmdline: str = "python\0train.py\0",
        comm: str = "python",
    ) -> None:
        self.started[pid] = round(self.clock.mono_s() * 100)
        self.files[f"{pid}/status"] = (
            f"Name:\t{comm}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{uid}\t0\nGroups:\t7 8\n"
        )
        self.files[f"{pid}/cgroup"] = cgroup + "\n"
        self.files[f"{pid}/cmdline"] = cmdline
        self.files[f"{pid}/io"] = "rchar: 1\nwchar: 5\nsyscr: 1\nsyscw: 1\nread_bytes: 0\nwrite_bytes: 3\n"
        self.link_texts[f"{pid}/exe"] = f"/usr/bin/{comm}"
        self.set_stat(pid, ppid, comm)

    def set_stat(self, pid: int, ppid: int, comm: str, cpu_ticks: int = 0, flags: int = 0) -> None:
        cells = ["S", str(ppid), "0", "0", "0", "0", str(flags), *["0"] * 4, str(cpu_ticks), "0", *["0"] * 6]
        self.files[f"{pid}/stat"] = f"{pid} ({comm}) " + " ".join([*cells, str(self.started[pid]), "0"])

    def end(self, pid: int) -> None:
        del self.started[pid]
        for store in (self.files, self.link_texts):
            for name in [name for name in store if name.startswith(f"{pid}/")]:
                del store[name]

    def pids(self) -> list[int]:
        return sorted(self.started)

    def read(self, pid: int | str, name: str, limit: int = 1 << 16) -> str | None:
        text = self.files.get(f"{pid}/{name}")
        return None if text is None else text[:limit]

    def lines(self, name: str, limit: int) -> Iterator[bytes]:
        return iter(self.files.get(name, "").encode("utf-8", "surrogateescape").splitlines(keepends=True))

    def read_all(self, name: str, limit: int) -> str | None:
        return self.files.get(name)

    def link(self, pid: int | str, name: str) -> str | None:
        return self.link_texts.get(f"{pid}/{name}")

    def fds(self, pid: int | str, most: int, at: int = 0) -> tuple[list[tuple[str, str]], int] | None:
        if pid not in self.started or pid in self.refused:
            return None
        names = sorted((name for name in self.names(pid, "fd") if int(name) >= at), key=int)[: most + 1]
        return [(name, self.link_texts[f"{pid}/fd/{name}"]) for name in names[:most]], len(names)

    def names(self, pid: int, name: str, most: int = 1 << 20) -> list[str]:
        prefix = f"{pid}/{name}/"
        return [key[len(prefix) :] for key in self.link_texts if key.startswith(prefix)][: max(0, most)]


class FakeHelper(Helper):
    """Answers at the next poll from `sizes`."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[str, int] = {}
        self.waiting: list[tuple[Ask, Callable[[Answer], None]]] = []

    def submit(self, ask: Ask, done: Callable[[Answer], None]) -> bool:
        self.waiting.append((ask, done))
        return True

    def poll(self, at: float, mono_s: float) -> None:
        waiting, self.waiting = self.waiting, []
        for ask, done in waiting:
            size = self.sizes.get(ask.path)
            if size is None:
                done(Answer(at, None, None, None, None, "No such file or directory"))
            else:
                done(Answer(at, 1, abs(hash(ask.path)) % 1000, size, int(at * 1e9), None))


class FakeReaders(Readers):
    """Keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    @property
    def busy(self) -> bool:
        return False

    def submit(self, run: str, request: dict[str, Any]) -> bool:
        self.requests.append(request)
        return True

    def forget(self, run: str) -> None:
        pass

    def poll(self, mono_s: float) -> list[Failure]:
        return []

    def take_done(self) -> list[tuple[str, str]]:
        return []

    def close(self) -> None:
        pass


class Node:
    """One node with its sampler."""

    def __init__(self, root: Path, n_gpus: int = 2, clock: FakeClock | None = None, **node: Any) -> None:
        self.root = root
        self.clock = FakeClock() if clock is None else clock
        self.gpus = FakeGpus(self.clock, n_gpus)
        self.proc = FakeProc(self.clock)
        # The tests' own process is no sampler: what it takes of memory and CPU bounds nothing.
        own: dict[str, Any] = {"memory_mib": 0, "cpu_pct": 1e6, "disabled": str(root / "disabled")}
        self.config = Config(node=NodeConfig(**{**own, **node}))
        self.devices = root / "dev"
        self.devices.mkdir(parents=True, exist_ok=True)
        for info in self.gpus.infos:
            (self.devices / f"nvidia{info.minor}").touch()
        self.folders = Folders(str(root / "run" / NODE), str(root / "spool" / NODE))
        for name in ("tickets", "ends"):
            (root / "run" / NODE / name).mkdir(parents=True, exist_ok=True)
            (root / "spool" / NODE / name).mkdir(parents=True, exist_ok=True)
        self.loop = self.sampler()

    def sampler(self) -> Loop:
        """A new sampler over the same folders, as after a restart."""
        place = Place(NODE, BOOT, self.folders, str(self.devices))
        loop = Loop(self.config, place, self.clock, self.gpus, self.proc)
        loop.helper, loop.readers = FakeHelper(), FakeReaders()
        loop.streams.journal.path = "/nonexistent/log"
        self.loop = loop
        loop.start()
        return loop

    @property
    def helper(self) -> FakeHelper:
        assert isinstance(self.loop.helper, FakeHelper)
        return self.loop.helper

    @property
    def requests(self) -> list[dict[str, Any]]:
        assert isinstance(self.loop.readers, FakeReaders)
        return self.loop.readers.requests

    def ticket(self, job_id: int, uid: int, gpus: list[int] | None, boot_id: str = BOOT, **more: Any) -> str:
        at = self.clock.now_at()
        run = wire.run_key("c", job_id, NODE, boot_id, at)
        nulls: dict[str, Any] = dict.fromkeys(wire.Ticket._fields)
        fields = {
            **nulls, "run": run, "at": at, "node": NODE, "cluster": "c", "job_id": job_id, "boot_id": boot_id,
            "uid": uid, "gid": uid, "gpus": gpus, "why": {}, "format": 1, **more,
        }  # fmt: skip
        self._put("tickets", f"{wire.stem(run)}.json", wire.encode(wire.Ticket(**fields)))
        return run

    def mark_end(self, run: str | None, job_id: int) -> None:
        at = self.clock.now_at()
        mark = wire.EndMark(run, at, NODE, "c", job_id, BOOT, None, 0, "0:0", None, None, [], None, {})
        self._put("ends", f"{job_id}_{int(at * 1000)}.json", wire.encode(mark))

    def _put(self, kind: str, name: str, text: str) -> None:
        for root in (self.folders.run, self.folders.spool):
            (Path(root) / kind / name).write_text(text)

    def turn(self, duration_s: float) -> None:
        """Let time pass as the loop would."""
        until_s = self.clock.mono_s() + duration_s
        while self.clock.mono_s() < until_s - 1e-6 and self.loop.stop_reason is None:
            self.loop._guarded(self.loop.tick)
            self.clock.sleep(self.config.node.sample_interval_s)

    def records(self, kind: str | None = None, run: str | None = "*") -> list[dict[str, Any]]:
        """All records in the spool, sealed and open, in the order of streams and segments."""
        spool = Path(self.folders.spool)
        found = []
        for path in sorted([*spool.glob("sealed/*"), *spool.glob("open/*")], key=lambda p: p.name):
            found += [json.loads(line) for line in path.read_text().splitlines()]
        return [
            record
            for record in found
            if (kind is None or record["k"] == kind) and (run == "*" or record.get("run") == run)
        ]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.records("event") if event["name"] == name]

    def seal(self, run: str) -> dict[str, Any]:
        text = (Path(self.folders.spool) / "seals" / f"{wire.stem(run)}.json").read_text()
        found: dict[str, Any] = json.loads(text)
        return found


class Descriptors(Proc):
    """Process 1's sockets by their descriptors, which count up in the order of these inodes; nobody else has
    any."""

    def __init__(self, *inodes: int) -> None:
        super().__init__()
        self._inodes = inodes

    def names(self, pid: int, name: str, most: int = 0) -> list[str]:
        return [str(fd) for fd in range(len(self._inodes))] if pid == 1 else []

    def link(self, pid: int | str, name: str) -> str | None:
        return f"socket:[{self._inodes[int(name.rpartition('/')[2])]}]"
