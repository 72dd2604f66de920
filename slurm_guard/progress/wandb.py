"""Weights & Biases: the `.wandb` file of every run, offline or online, by wandb of 2021 and of today.

Record{2 HistoryRecord, 18 RunExitRecord, 26 EnvironmentRecord}; HistoryRecord{1 item, 2 step}; item{1 key,
2 nested_key, 16 value_json}; EnvironmentRecord{27 slurm: map of SLURM_* in lower case}, since 2024. `_step`
counts calls of `wandb.log`: where most rows say a training step of their own (`train/global_step`,
`trainer/global_step`), that is the clock.
"""

from collections import Counter

from slurm_guard.progress import keys
from slurm_guard.progress.jsonl import claim_of
from slurm_guard.progress.protobuf import WireError, fields
from slurm_guard.progress.protocol import MAX_CLAIMS, NAMES_JOB, Claim, Found, Reader, Series
from slurm_guard.progress.values import to_count, to_float
from slurm_guard.progress.wandblog import MAGIC, Records

MAX_ITEMS = 1024  # keys of one row that are looked at
MAX_VALUE = 64  # bytes of a value that can be a number
CLOCK_SHARE = 0.5  # of the rows that must say a step of their own (judgement)
SAMPLES = "train/samples/"  # DeepSpeed's names: the step that it logs them with is its count of samples
_PREFIXES = frozenset(("train", "trainer", ""))
_WANTED = frozenset(
    (*keys.STEP_KEYS, *keys.SAMPLE_KEYS, *keys.TOKEN_KEYS, *keys.LOSS_KEYS, *keys.EPOCH_KEYS, "_timestamp")
)
# A training's own clock, best first; counters that may begin anew in each epoch are not among them.
_STEPS = (
    "global_step", "global_steps", "train_step", "optimizer_step", "num_updates", "total_timesteps",
    "num_timesteps", "timesteps_total", "training_iteration", "iteration", "step",
)  # fmt: skip
Number = int | float | None


class WandbSource:
    """Told by its header."""

    name = "wandb"
    resyncs = True

    def claims(self, head: bytes, path: str) -> float:
        """1 by the magic bytes; 0.6 by name while the file is still empty."""
        if head.startswith(MAGIC):
            return 1.0
        return 0.6 if path.endswith(".wandb") and len(head) < len(MAGIC) else 0.0

    def reader(self) -> Reader:
        return WandbReader()


class WandbReader:
    """Rows of history; all other records are passed over."""

    def __init__(self) -> None:
        self._records = Records()
        self._rows: list[tuple[Claim, Claim]] = []  # by wandb's own step, and by the training's
        self._clocks: Counter[str] = Counter()
        self._n_rows = 0
        self._counts_samples = False
        self._phases: list[Claim] = []
        self._problems: Counter[str] = Counter()
        self._job = ""  # the Slurm job that it was written in, as it says
        self._read_b = 0

    def feed(self, data: bytes, offset: int) -> int:
        self._read_b += len(data)
        for record, end in self._records.feed(data, offset):
            try:
                self._record(record, end)
            except (WireError, UnicodeDecodeError):
                self._problems["broken-records"] += 1
        return offset + len(data)

    def skipped(self, offset: int) -> None:
        self._records.skipped(offset)

    def finish(self) -> Found:
        self._problems["broken-blocks"] += self._records.n_broken
        self._problems["skipped-large-records"] += self._records.n_large
        problems = [f"{slug}: {count}" for slug, count in sorted(self._problems.items()) if count]
        if self._records.n_torn():
            problems.append(f"torn-tail: {self._records.n_torn()} bytes of an unfinished record")
        if self._job:
            problems.append(f"{NAMES_JOB}{self._job}")
        key, claims = self._clock()
        series = [Series("wandb", key, "", claims)] if claims else []
        return Found(series, self._phases, problems, self._read_b)

    def _clock(self) -> tuple[str, list[Claim]]:
        """The training's own step where most rows say one, else wandb's."""
        key, n = max(self._clocks.items(), key=lambda item: (item[1], item[0]), default=("", 0))
        if n and n >= CLOCK_SHARE * self._n_rows:
            said = [own for _, own in self._rows if own.key == key]
            if len({own.step for own in said}) >= CLOCK_SHARE * len(said):  # one that stands still is none
                return key, said
        if self._counts_samples:
            said = [row._replace(key="samples", samples=row.step, step=None) for row, _ in self._rows]
            return "samples", [row for row in said if row.samples is not None]
        return "_step", [row for row, _ in self._rows if row.key == "_step"]

    def _record(self, data: bytes, end: int) -> None:
        for number, kind, start, stop in fields(data, 0, len(data)):
            if number == 2 and kind == 2:
                self._history(data, start, stop, end)
            elif number == 26 and kind == 2:
                self._job = self._job or _job(data, start, stop)
            elif number == 18 and kind == 2:
                self._phases = [Claim(end, "phase", phase="end", advances=False)]

    def _history(self, data: bytes, at: int, stop: int, end: int) -> None:
        body: dict[str, Number] = {}
        own: dict[str, Number] = {}
        evals = False
        for nth, (number, kind, start, until) in enumerate(fields(data, at, stop)):
            if nth >= MAX_ITEMS:
                self._problems["many-keys"] += 1
                break
            if number == 2 and kind == 2:
                for inner, wire, value, _ in fields(data, start, until):
                    if inner == 1 and wire == 0:
                        body.setdefault("_step", value)
            elif number == 1 and kind == 2:
                name, value_json = _item(data, start, until)
                evals = evals or keys.is_eval(name)
                self._counts_samples |= name.startswith(SAMPLES)
                prefix, _, last = name.rpartition("/")
                if prefix not in _PREFIXES or last not in _WANTED:
                    continue
                (own if last in _STEPS else body)[last] = to_float(value_json.strip('"'))
        self._add(body, own, evals, end)

    def _add(self, body: dict[str, Number], own: dict[str, Number], evals: bool, end: int) -> None:
        row = claim_of(body, end)
        if row is None:
            return
        row = row._replace(phase="eval" if evals and row.loss is None else "train")
        name = next((name for name in _STEPS if to_count(own.get(name)) is not None), "")
        said = row._replace(key=name, step=to_count(own[name])) if name else row
        self._n_rows += 1
        self._clocks[name] += bool(name)
        self._rows.append((row, said))
        if len(self._rows) >= MAX_CLAIMS:
            del self._rows[1::2]
            self._problems["many-records"] += 1


def _job(data: bytes, at: int, stop: int) -> str:
    """The job's number in an EnvironmentRecord; empty: it says none."""
    for number, kind, start, until in fields(data, at, stop):
        if number == 27 and kind == 2:
            pair = {n: data[a:b] for n, wire, a, b in fields(data, start, until) if wire == 2}
            value = pair.get(2, b"")
            if pair.get(1) == b"job_id" and value.isdigit() and len(value) < 12:
                return value.decode("ascii")
    return ""


def _item(data: bytes, at: int, stop: int) -> tuple[str, str]:
    """(lower-case name, value as JSON if it is short enough to be a number)."""
    name: list[bytes] = []
    value = b""
    for number, kind, start, until in fields(data, at, stop):
        if number in (1, 2) and kind == 2 and len(name) < 8:
            name.append(data[start : min(until, start + 64)])
        elif number == 16 and kind == 2 and until - start <= MAX_VALUE:
            value = data[start:until]
    return b"/".join(name).decode("utf-8", "replace").lower(), value.decode("ascii", "replace")
