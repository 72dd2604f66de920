"""Generic training lines: `step=10 loss=2.3 tokens=…`, `step: 20  loss: 8.1`, `iter 10: loss …`.

The clock must be a whole number beside a known word. Where the line only puts a space between the two
(`Step 3 of the set-up`), it counts only beside a metric, because prose does that too.
"""

import re
from collections.abc import Iterator
from itertools import groupby

from slurm_guard.progress import rough
from slurm_guard.progress.datarows import INNER_TURNS, are_tasks, n_turns, of_epochs, or_epochs, outer
from slurm_guard.progress.lineplan import EVAL, LEVEL, NO_CLOCK, TIMES, Plan, plan_of
from slurm_guard.progress.metrics import companions
from slurm_guard.progress.protocol import LOOP, MAX_CLAIMS, MICRO, NOTHING, Claim, Tailed
from slurm_guard.progress.rough import about
from slurm_guard.progress.totals import of_training
from slurm_guard.progress.tqdm import find_bar
from slurm_guard.progress.values import find_stamp, to_count, to_epoch, to_instant, to_loss, to_seconds

# Lines that differ in digits alone have one plan.
_SHAPE = bytes.maketrans(b"123456789", b"000000000")
MAX_LOOPS = 8  # words before the clock that are told apart (judgement: a log names fewer)
OTHER_LOOPS = "*"  # the word of all further ones together
MAX_ASKED = 64  # lines of a clock that are searched for a metric (judgement)
MAX_SHAPES = 512  # remembered of one file …
MAX_SHAPED = 512  # … with at most so many characters (together 300 kB)
UNASKED = 4096  # lines without a look at their shape, after as many shapes that helped little (judgement)
_LONG_NUMBER = re.compile(
    r"[\d,_]{16}"
)  # may be no whole number of ours: what counts is not told by the shape


class KeyValueLines(Tailed):
    """The fallback for lines that no named format claims; `step-less` epochs are a clock of their own."""

    name = "keyvalue"
    # What `_CLOCK` or `_TRAIN` has behind a needle, or more: prose with these words has no number there.
    tail = re.compile(rb"[A-Za-z_]{0,24}(?:\(train\))?['\"]?[ \t=:|#\[]{0,64}['\"]?[0-9\x80-\xff]")
    needles: tuple[bytes, ...] = (
        b"step", b"Step", b"iter", b"Iter", b"poch", b"update", b"Update", b"batch", b"Batch", b"Train:",
        b"trl:", b"STEP", b"EPOCH", b"ITER", b"chritt",
    )  # fmt: skip

    def __init__(self) -> None:
        self._plans: dict[bytes, Plan] = {}
        self._n_known = 0  # lines whose shape was remembered, since the shapes were forgotten last
        self._n_unasked = 0  # lines to come whose shape is not looked at: too many differ
        self._loops: set[str] = set()
        self._metered: set[str] = set()  # clocks with a metric beside them in some line
        self._asked: dict[str, int] = {}  # … and lines of the others
        self._others: dict[int, tuple[str, int]] = {}  # offset -> the second clock there
        self._rough: dict[int, str] = {}  # offset -> the counter's print there, if it is no plain number
        self.alive: list[Claim] = []  # marks of records behind the last counter that was read
        self.problems: list[str] = []

    def read(self, text: str, offset: int) -> Claim | None:
        plan = self._plan(text)
        if plan is NO_CLOCK:
            return None
        if plan is EVAL:
            return Claim(offset, "phase", phase="eval", advances=False)
        if plan.other is not None:
            other = to_count(text[plan.other[1]])
            if plan.other[0] == LEVEL:
                if other != 0:
                    return None
            elif other is not None and len(self._others) < MAX_CLAIMS:
                self._others[offset] = (plan.other[0], other)
        if plan.rough and not self._keep_print(text, plan, offset):
            return None
        key = plan.named or plan.key
        if plan.named and plan.named not in self._loops:
            if len(self._loops) < MAX_LOOPS:
                self._loops.add(plan.named)
            else:
                key = plan.key + LOOP + OTHER_LOOPS  # no count of the training's, and none of them alone
        if key not in self._metered:
            self._ask(key, plan, text)
        return _claim(text, offset, plan, key)

    def _keep_print(self, text: str, plan: Plan, offset: int) -> bool:
        """Whether the counter of the line says more or less how far it is: `settle` tells it."""
        said = text[plan.step or slice(0)]
        if about(said) is None or len(self._rough) >= MAX_CLAIMS:
            return False
        self._rough[offset] = said
        return True

    def _ask(self, key: str, plan: Plan, text: str) -> None:
        """Whether a metric stands beside the clock: asked of its first lines, for they are mostly alike."""
        n = self._asked.get(key, 0)
        self._asked[key] = n + 1
        if plan.metered or (n < MAX_ASKED and companions(text)[1]):
            self._metered.add(key)

    def _plan(self, text: str) -> Plan:
        """The line's plan: remembered, or made."""
        if self._n_unasked or len(text) > MAX_SHAPED or not text.isascii():
            self._n_unasked -= self._n_unasked > 0
            return plan_of(text)
        shape = text.encode("ascii").translate(_SHAPE)
        plan = self._plans.get(shape)
        if plan is not None:
            self._n_known += 1
            return plan
        plan = plan_of(text)
        if _LONG_NUMBER.search(text) is None:
            if len(self._plans) >= MAX_SHAPES:
                self._n_unasked = 0 if self._n_known > MAX_SHAPES else UNASKED
                self._plans.clear()
                self._n_known = 0
            self._plans[shape] = plan
        return plan

    def settle(self, claims: list[Claim]) -> list[Claim]:
        if self._rough:
            claims, alive, problem = rough.settle(claims, self._rough)
            self.alive += alive
            self.problems += [problem] if problem else []
        metered = not claims or claims[0].key in self._metered
        if not metered and are_tasks(claims):
            return []
        claims = of_epochs(claims)
        kept = of_training(claims)
        self.alive += _ends_of(claims, kept)
        gone = len(claims) - len(kept)
        if gone and _are_as_long(claims, kept):
            self.problems.append(
                f"other-loops: {gone} of {len(claims)} records have another total than each epoch's first "
                "and were taken for evaluations; if they train, print one counter through all"
            )
        claims = or_epochs(outer(kept, self._others))
        key, _, loop = claims[0].key.partition(LOOP) if claims else ("", "", "")
        if key == "epoch":  # in millionths
            claims = [c._replace(step=round((c.epoch or 0.0) * MICRO)) for c in claims]
        return [] if loop and not metered and n_turns(claims, INNER_TURNS) else claims


def _ends_of(claims: list[Claim], kept: list[Claim]) -> Iterator[Claim]:
    """Marks of the evaluations that were left out: the first and the last record of each."""
    if len(kept) == len(claims):
        return
    offsets = {claim.offset for claim in kept}
    for trains, row in groupby(claims, key=lambda claim: claim.offset in offsets):
        if not trains:
            first, *rest = row
            for one in (first, *rest[-1:]):
                yield Claim(
                    one.offset,
                    "phase",
                    at=one.at,
                    naive=one.naive,
                    phase="eval",
                    rank=one.rank,
                    advances=False,
                )


def _are_as_long(claims: list[Claim], kept: list[Claim]) -> bool:
    """Whether the loops that were left out are together as long as the one that was kept: they may train."""
    mine = {claim.total or 0 for claim in kept}
    return sum({claim.total or 0 for claim in claims} - mine) >= max(mine, default=0)


def _claim(text: str, offset: int, plan: Plan, key: str) -> Claim | None:
    """The claim of a line after its plan, by the clock `key`; null: no bar that trains, as it must be."""
    said = "" if plan.step is None else text[plan.step]
    step = about(said) if plan.rough else to_count(said or None)
    total = None if plan.total is None else to_count(text[plan.total])
    if key == "bar":  # one that names its epoch counts its batches; any other is left to the bars' reader
        bar = find_bar(text)
        if bar is None or not bar.trains():
            return None
        if bar.n == 0:
            return NOTHING  # Lightning empties the bar before it names the next epoch
        key, step, total = "batch", bar.n, bar.total
    epoch = None if plan.epoch is None else to_epoch(text[plan.epoch])
    samples = tokens = None
    loss = took_s = None
    for kind, last, place in plan.values:
        value = text[place]
        if kind == "loss":
            loss = to_loss(value.rstrip(",.")) if loss is None else loss
        elif kind == "tokens":
            tokens = to_count(value) if tokens is None else tokens
        elif kind == "samples":
            samples = to_count(value) if samples is None else samples
        else:
            took_s = to_seconds(value, last) if took_s is None else took_s
    at, naive = find_stamp(text) if plan.stamped else (None, False)
    if at is None and plan.timed:
        match_at = TIMES.search(text)
        at = to_instant(match_at[1]) if match_at else None
    return Claim(
        offset,
        key,
        step,
        samples,
        tokens,
        total,
        loss,
        epoch if epoch is not None and epoch < 1e6 else None,
        at,
        naive,
        "eval" if plan.evaluates else "train",
        took_s=took_s,
    )
