"""The picture of a run that is not CLEAR: accounts, power and progress over time, and moments worth a
mark.
"""

from slurm_guard.audit.case import Case
from slurm_guard.audit.denial import Denial
from slurm_guard.audit.ledger import EXPLAINS
from slurm_guard.audit.net.lane import network_events
from slurm_guard.audit.spans import Kind
from slurm_guard.model import Account, Timeline, TimelineEvent

MAX_SLOTS = 400  # more cannot be told apart on a page
MAX_EVENTS = 60


_STRAYED = {
    "after": "on the run's GPUs after its end",
    "beside": "on GPUs that were not the run's",
}


def draw(case: Case, denial: Denial) -> Timeline:
    """The timeline. Slots that nobody saw are null; the residual is placed where work exceeds θ most."""
    slots = case.slots
    n = len(slots.cov)
    merge = -(-n // MAX_SLOTS)
    places = [range(k, min(n, k + merge)) for k in range(0, n, merge)]
    shares = placed(case, case.left.mid)
    books = [_book(case, k, shares[k], denial.at(case.study, k)) for k in range(n)]
    accounts: dict[str, list[int | None]] = {a.value: [] for a in Account}
    power: list[float | None] = []
    pace: list[float | None] = []
    for place in places:
        seen = sum(slots.cov[k] for k in place) > 0
        for account in Account:
            total = sum(books[k][account] for k in place)
            shown = seen or account is Account.UNOBSERVED
            accounts[account.value].append(int(total + 0.5) if shown else None)
        power.append(_power(case, place))
        units = sum(case.study.units[k] for k in place)
        pace.append(round(units / (len(place) * slots.width_s), 6) if case.track.arcs else None)
    return Timeline(slots.from_at, slots.width_s * merge, accounts, power, pace, _events(case))


def _power(case: Case, place: range) -> float | None:
    """Watts of all the run's GPUs, over the time they were seen; null where no board gave energy."""
    energies = [case.slots.energy[k] for k in place]
    known = [e for e in energies if e is not None]
    seen = sum(case.slots.cov[k] for k, e in zip(place, energies, strict=True) if e is not None)
    return round(sum(known) / seen * case.run.n_gpus, 1) if known and seen > 0 else None


def _book(case: Case, k: int, residual_share: float, denied: float) -> dict[Account, float]:
    """One slot's GPU-ms per account, before any rounding."""
    slots = case.slots
    book = dict.fromkeys(Account, 0.0)
    length = min(slots.width_s, max(0.0, case.run.until_at - slots.at(k)))
    book[Account.UNOBSERVED] = max(0.0, case.run.n_gpus * length * 1000 - slots.cov[k]) + slots.blind[k]
    work = slots.own[k] + slots.stray[k] + slots.foreign[k]
    book[Account.IDLE] = max(0.0, slots.cov[k] - slots.blind[k] - work)
    book[Account.FOREIGN] = slots.foreign[k]
    book[Account.RESIDUAL] = slots.stray[k]
    for kind, share in case.study.kinds[k].items():
        own = slots.own[k] * share
        if kind is Kind.TRAIN:
            book[Account.RESIDUAL] += own * residual_share
            wait = min(case.left.wait, 1 - residual_share)
            book[Account.WAIT] += own * wait
            credited = own * (1 - residual_share - wait)
            book[Account.CONTRADICTION] += credited * denied
            book[Account.PROGRESS] += credited * (1 - denied)
        else:
            book[EXPLAINS[kind]] += own
    return book


def placed(case: Case, residual_share: float) -> list[float]:
    """Residual share of each slot's training work: the run's total, laid where work exceeds θ most."""
    theta, slots = case.study.theta, case.slots
    train = [own * k.get(Kind.TRAIN, 0.0) for own, k in zip(slots.own, case.study.kinds, strict=True)]
    if theta is None or residual_share <= 0:
        return [residual_share] * len(train)
    over = [0.0] * len(train)
    for block in case.study.own[case.study.channel].blocks:
        share = max(0.0, 1.0 - block.units * theta.value / block.work) if block.work > 0 else 0.0
        first = round((block.from_at - slots.from_at) / slots.width_s)
        for k in range(first, round((block.until_at - slots.from_at) / slots.width_s)):
            over[k] = share
    total, there = residual_share * sum(train), sum(t * o for t, o in zip(train, over, strict=True))
    if there <= 0:
        return [residual_share] * len(train)
    shares = [min(1.0, o * total / there) for o in over]
    # What full slots cannot take is laid evenly into what is left of the others.
    missing = total - sum(t * s for t, s in zip(train, shares, strict=True))
    room = sum(t * (1.0 - s) for t, s in zip(train, shares, strict=True))
    more = missing / room if room > 0 else 0.0
    return [s + more * (1.0 - s) for s in shares]


def _events(case: Case) -> list[TimelineEvent]:
    """Starts and ends of GPU processes, guests, the network side and the run itself, earliest first."""
    several = len(case.run.nodes) > 1

    def at(node: str) -> str:
        return f"{node}: " if several else ""

    found = [
        TimelineEvent(
            u.first_at,
            u.last_at,
            "process",
            f"{at(u.node)}pid {u.pid} ({u.cls}) {u.exe or 'unknown program'}",
        )
        for u in case.users
    ]
    found += [
        TimelineEvent(
            s.from_at, s.until_at, "process", f"{at(s.node)}pid {s.pid} of another run, uid {s.uid}"
        )
        for s in case.guests
    ]
    found += [
        TimelineEvent(
            s.from_at,
            s.until_at,
            "process",
            f"pid {s.pid} {_STRAYED[s.relation]}, {s.node}",
        )
        for s in case.mine
    ]
    kept = [TimelineEvent(case.run.from_at, case.run.until_at, "run", f"job {case.run.job}")]
    kept += network_events(case)  # few, and never crowded out by a thousand processes
    order = sorted(found, key=_order)[: MAX_EVENTS - len(kept)]
    return sorted(kept + order, key=_order)


def _order(event: TimelineEvent) -> tuple[float, str, str]:
    return event.at, event.lane, event.text
