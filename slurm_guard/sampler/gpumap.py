"""Which GPU a job's GRES index means: by UUID, by device file, never by position among the boards in sight.

A GRES index counts the node's GRES list: the files of gres.conf in their order, or, where Slurm detects them,
the boards by bus address, which is also NVML's order. Device files stay when a board falls off the bus, so a
hole moves nobody's index. Where the two orders disagree and the site says nothing, an index is unresolved
until processes of two runs have shown which order it is. What processes show also confirms the map, or
contradicts it: then nobody is accused by it.
"""

from __future__ import annotations

import os

from slurm_guard.light import Iterable, NamedTuple
from slurm_guard.sampler.patterns import pattern
from slurm_guard.sampler.reading import GpuInfo

BY_UUID, CONFIRMED, UNCONFIRMED, CONTRADICTED = "by-uuid", "confirmed", "unconfirmed", "contradicted"
SITE, FILES, BUS = "site", "devices", "bus"
LOOKS = 2  # looks that must find a run's process on a board before it counts against a map: judgement
WITNESSES = 2  # runs that must contradict: one may be a stray, which is what we look for: judgement
MOST_SETS = 64  # index sets remembered per board: judgement
MOST_FILES = 256  # device files of one node: judgement
LEAST_PREFIX = 8  # characters of a shortened UUID that are believed (CUDA takes any unique prefix): judgement
_FILE = pattern(r"nvidia(\d{1,4})")
_RANGE = pattern(r"(.*)\[([\d,-]{1,256})\]")

Order = dict[int, str]  # GRES index -> UUID; an index whose board is not there is not in it


class Resolved(NamedTuple):
    """What a ticket's GPUs are. `n_missing`: indices or UUIDs without a board in sight."""

    uuids: list[str]
    n_missing: int
    how: str | None  # by-uuid, site, devices; null: the ticket names no GPU


class _Known:
    """One run that holds GPUs, and where its own processes were seen."""

    def __init__(self, indices: frozenset[int] | None, shared: bool) -> None:
        self.indices = indices  # null: the ticket does not say
        self.shared = shared
        self.resolved = Resolved([], 0, None)
        self.looks: dict[str, int] = {}
        self.now: set[str] = set()  # boards of the last look


class Map:
    """The node's map and what processes taught about it. `site`: node.gres_devices; `folder`: /dev."""

    def __init__(self, site: list[str], folder: str = "/dev") -> None:
        self._site = [minor_of(path) for text in site for path in expand(text)] or None
        self._folder = folder
        self._infos: list[GpuInfo] = []
        self._minors: list[int] = []  # of the device files
        self._orders: dict[str, Order] = {}
        self._runs: dict[str, _Known] = {}
        self._home: dict[str, set[frozenset[int]]] = {}
        self._against: dict[str, set[str]] = {}
        self._contra: dict[str, tuple[frozenset[int], frozenset[str]]] = {}

    # -- boards

    def note(self, infos: list[GpuInfo]) -> bool:
        """The boards in sight; whether they, their minors or their device files changed."""
        minors = files_in(self._folder) if self._site is None else []
        if (infos, minors) == (self._infos, self._minors):
            return False
        self._infos, self._minors = list(infos), minors
        before, self._orders = self._orders, self._make_orders()
        for name, order in self._orders.items():
            known = before.get(name, {})
            if any(known.get(index, uuid) != uuid for index, uuid in order.items()):
                self._home.clear()  # another driver's numbers: what was learnt speaks of the old ones
                self._against.clear()
                self._contra.clear()
        return before != self._orders

    def _make_orders(self) -> dict[str, Order]:
        by_minor = {info.minor: info.uuid for info in self._infos if info.mig is None}
        if self._site is not None:
            return {SITE: _order([by_minor.get(minor) for minor in self._site])}
        if any(info.mig is not None for info in self._infos):
            return {}  # instances take indices of their own, so every later index moves: UUIDs alone say it
        if not set(by_minor) <= set(self._minors):
            return {}  # the device files are not all there (yet): their positions mean nothing
        files = _order([by_minor.get(minor) for minor in self._minors])
        by_bus = [info.uuid for info in sorted(self._infos, key=lambda info: info.gpu_index)]
        if by_bus == list(files.values()):
            return self._possible({FILES: files})
        whole = len(by_bus) == len(self._minors)
        # With a hole nobody knows where in the order of the bus the lost board stood.
        return self._possible({FILES: files, BUS: _order(list(by_bus)) if whole else {}})

    def _possible(self, orders: dict[str, Order]) -> dict[str, Order]:
        """Without what processes have ruled out."""
        return {name: order for name, order in orders.items() if not self._is_out(name)}

    def _is_out(self, name: str) -> bool:
        return len(self._against.get(name, ())) >= WITNESSES

    # -- runs

    def resolve(self, run: str, gpus: list[int] | None, visible: str | None, *, shared: bool) -> Resolved:
        """The boards of a run's ticket as far as they are known now; may be asked again."""
        known = self._runs.get(run)
        if known is None:
            known = self._runs[run] = _Known(None if gpus is None else frozenset(gpus), shared)
        named = uuids_of(visible)
        if named is not None:
            found = [self._board_named(name) for name in named]
            how: str | None = BY_UUID
        else:
            found = [self._board_at(index) for index in gpus or []]
            how = None if gpus is None else SITE if self._site is not None else FILES
        uuids = list(dict.fromkeys(uuid for uuid in found if uuid is not None))
        known.resolved = Resolved(uuids, found.count(None), how)
        return known.resolved

    def _board_named(self, name: str) -> str | None:
        fits = [i.uuid for i in self._infos if i.uuid == name]
        if not fits and len(name) >= LEAST_PREFIX:
            fits = [i.uuid for i in self._infos if i.uuid.startswith(name)]
        return fits[0] if len(fits) == 1 else None

    def _board_at(self, index: int) -> str | None:
        """The one board that every order still possible names."""
        found = {order.get(index) for order in self._orders.values()}
        return found.pop() if len(found) == 1 else None

    def forget(self, run: str) -> None:
        """A run that is sealed; what it taught stays."""
        self._runs.pop(run, None)

    # -- learning

    def learn(self, seen: Iterable[tuple[str, str]]) -> bool:
        """(run, GPU) pairs of one look: a living run's process, by cgroup or slurmstepd, on a GPU.

        True: an order was ruled out, so that unresolved runs may be asked again.
        """
        for one in self._runs.values():
            one.now = set()
        for run, uuid in seen:
            known = self._runs.get(run)
            if known is None or not known.indices:
                continue
            known.now.add(uuid)
            known.looks[uuid] = min(known.looks.get(uuid, 0) + 1, LOOKS)
            sets = self._home.setdefault(uuid, set())
            if uuid in known.resolved.uuids and len(sets) < MOST_SETS:
                sets.add(known.indices)
        for run, one in self._runs.items():
            self._weigh(run, one)
        return self._rule_out()

    def _weigh(self, run: str, known: _Known) -> None:
        """A run that is at home nowhere and was seen elsewhere speaks against the map, if nobody lives there.

        Where another run is at home by the same map, that one's word and the map agree: then it is a stray.
        """
        if known.resolved.how == BY_UUID or not known.indices:
            return
        sure = {uuid for uuid, n in known.looks.items() if n >= LOOKS}
        home = sure & set(known.resolved.uuids)
        strange = {uuid for uuid in sure if not self._excludes(known.indices, uuid)} if not home else set()
        boards = {
            name: {order.get(index) for index in known.indices}
            for name, order in self._orders.items()
            if order
        }
        for name, mine in boards.items():
            against = self._against.setdefault(name, set())
            if len(self._orders) > 1 and strange - mine and len(against) < MOST_SETS:
                against.add(run)
        if len(boards) < len(self._orders):
            return
        strange -= set().union(*boards.values())
        if strange and len(self._contra) < MOST_SETS:
            self._contra[run] = known.indices, frozenset(strange)
        elif home:
            self._contra.pop(run, None)

    def _rule_out(self) -> bool:
        if not any(not self._against.get(name) for name in self._orders):
            return False
        before, self._orders = self._orders, self._possible(self._orders)
        return before != self._orders

    # -- what may be said

    @property
    def contradicted(self) -> bool:
        """Whether two runs have shown that the indices mean other boards."""
        return len(self.witnesses) >= WITNESSES

    @property
    def witnesses(self) -> list[str]:
        """The runs that contradict, less those that turned out to be strays."""
        return sorted(
            run
            for run, (indices, boards) in self._contra.items()
            if any(not self._excludes(indices, uuid) for uuid in boards)
        )

    def state(self, run: str, uuid: str) -> str | None:
        """How sure it is that this GPU is the run's (Window.map); null: the map does not know the run."""
        known = self._runs.get(run)
        if known is None:
            return None
        if known.resolved.how == BY_UUID:
            return BY_UUID
        if self.contradicted:
            return CONTRADICTED
        indices = known.indices if known.indices is not None else frozenset()
        return CONFIRMED if any(s <= indices for s in self._home.get(uuid, ())) else UNCONFIRMED

    def word(self, holders: list[str], uuid: str) -> str:
        """The same for a GPU with these holders; without any, whether one was ever at home there."""
        words = [word for word in (self.state(run, uuid) for run in holders) if word is not None]
        if words:
            return min(words, key=[CONTRADICTED, UNCONFIRMED, CONFIRMED, BY_UUID].index)
        if self.contradicted:
            return CONTRADICTED
        return CONFIRMED if self._home.get(uuid) else UNCONFIRMED

    def is_foreign(self, runs: Iterable[str], uuid: str) -> bool:
        """Whether the GPU is surely none of these runs', whatever may be wrong with the map."""
        return all(self._is_not(run, uuid) for run in runs)

    def _is_not(self, run: str, uuid: str) -> bool:
        known = self._runs.get(run)
        if known is None or known.resolved.how is None or uuid in known.resolved.uuids:
            return False
        if known.resolved.how == BY_UUID:
            return known.resolved.n_missing == 0
        if not known.indices:
            return known.indices is not None  # it holds none
        if self._is_more_than_all(known) or self._is_anothers(known, uuid):
            return True
        return not self.contradicted and self._excludes(known.indices, uuid)

    def _excludes(self, indices: frozenset[int], uuid: str) -> bool:
        """A run of other indices was at home there: in whatever order, the board is one of *its* indices."""
        return any(not indices & others for others in self._home.get(uuid, ()))

    def _is_more_than_all(self, known: _Known) -> bool:
        """It is on more boards at once than it holds: one of them is another's under any map."""
        whole = all(info.mig is None for info in self._infos)
        return whole and known.indices is not None and len(known.now) > len(known.indices)

    def _is_anothers(self, known: _Known, uuid: str) -> bool:
        """A run of other indices, for which Slurm named the UUID, holds it alone."""
        mine = known.indices or frozenset()
        return any(
            other.resolved.how == BY_UUID and not other.shared and uuid in other.resolved.uuids
            for other in self._runs.values()
            if other.indices is not None and not other.indices & mine
        )


def _order(uuids: list[str | None]) -> Order:
    return {index: uuid for index, uuid in enumerate(uuids) if uuid is not None}


def uuids_of(visible: str | None) -> list[str] | None:
    """The UUIDs of a CUDA_VISIBLE_DEVICES; null: it names positions, or nothing."""
    names = [name.strip() for name in (visible or "").split(",")]
    return names if all(name.startswith(("GPU-", "MIG-")) for name in names) else None


def minor_of(path: str) -> int | None:
    """The minor in the name of `/dev/nvidia<minor>`; null: another file (a MIG capability)."""
    found = _FILE.fullmatch(path.rsplit("/", 1)[-1])
    return int(found[1]) if found else None


def expand(text: str) -> list[str]:
    """`/dev/nvidia[0-2,5]`, as gres.conf writes it, as a list of files; bounded."""
    found = _RANGE.fullmatch(text)
    if found is None:
        return [text]
    files: list[str] = []
    for part in found[2].split(","):
        low, _, high = part.partition("-")
        if low.isdigit() and (high.isdigit() or not high):
            last = min(int(high or low), int(low) + MOST_FILES)
            files += [f"{found[1]}{number}" for number in range(int(low), last + 1)]
    return files[:MOST_FILES]


def files_in(folder: str) -> list[int]:
    """The minors of the device files that exist, ascending; none: the folder cannot be read."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    found = [minor_of(name) for name in names if name.startswith("nvidia")]
    return sorted(minor for minor in found if minor is not None)[:MOST_FILES]
