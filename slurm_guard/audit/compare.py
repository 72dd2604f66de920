"""A run's work held against what comparable runs needed for the same progress."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log

from slurm_guard.audit.blocks import Fit, as_stages
from slurm_guard.audit.bounds import Left, left_over
from slurm_guard.audit.cost import Theta, visible_share
from slurm_guard.audit.peers import PeerCost, Peers, is_alike

Z = 1.96  # 95 %


@dataclass(frozen=True, slots=True)
class Compared:
    """A run beside its peers. `left`: what their cost leaves over of its training work. `why` empty: that may
    be held against the run; else only the upper bound knows of it."""

    peers: Peers
    left: Left
    why: str
    used: str  # whose cost the middle value is of: own-cheapest, peers, own-and-peers
    theta: Theta  # that cost, in the best channel
    visible: float  # share of training work, there from the first step to the last, that would have shown
    is_other: bool  # its memory says that its settings are not theirs: no finding

    @property
    def holds(self) -> bool:
        """Whether it may be held against the run."""
        return not self.why


def compare(
    own: Mapping[str, Fit], left: Left, peers: Peers, how: tuple[bool, Fit | None, str, int | None]
) -> tuple[Left, Compared]:
    """(What is left over with the peers' word, the comparison). `own`: the fits that have a cost; `how`:
    whether other processes took a part, the busiest pipe, the unit of progress, the run's memory.

    Peers only ever add to what is held against a run, and only where all of its meters lie above all that
    97.5 % of comparable runs cost; they widen the upper bound to what the cheapest of them leave over.
    """
    is_split, pipes, unit, mem_mib = how
    theirs = left_over(
        {c: _priced(fit, peers.costs[c].value, peers.costs[c].error) for c, fit in own.items()},
        is_split=is_split,
        pipes=pipes,
    )
    why = _cleared(own, peers) or _why_not(peers, unit, mem_mib)
    is_other = not is_alike(peers.mem_mib, mem_mib)
    is_dear = theirs.lo > 0.0
    hi = max(left.hi, theirs.hi)
    channel, fit = next(iter(own.items()))
    theta = _theta(fit)
    cost = peers.costs[channel]
    ratio = log(theta.value / cost.value)
    if is_dear and not why:
        lo, mid = max(left.lo, theirs.lo), max(left.mid, theirs.mid)
        merged = replace(left, lo=lo, mid=mid, hi=hi, asked=max(left.asked, lo))
        used, theta = "peers", replace(theta, value=cost.value, rel_error=cost.error)
    elif not why and abs(ratio) <= Z * cost.error:
        both = {c: _together(f, peers.costs[c]) for c, f in own.items()}
        mid = max(left.lo, left_over(both, is_split=is_split, pipes=pipes).mid)
        merged = replace(left, mid=mid, hi=max(hi, mid))
        used, theta = "own-and-peers", _theta(both[channel])
    else:
        merged, used = replace(left, hi=hi), "own-cheapest"
    return merged, Compared(peers, theirs, why, used, theta, _visible(own, peers), is_other)


def as_shown(own: Mapping[str, Fit], left: Left, cuts: list[int], how: tuple[bool, Fit | None]) -> Left:
    """What is left over where earlier runs explain the run's lasting rises: each level at its own cost, but
    for the upper bound. `how`: as in `compare`."""
    is_split, pipes = how
    found = left_over({c: as_stages(fit, cuts) for c, fit in own.items()}, is_split=is_split, pipes=pipes)
    return replace(left, lo=found.lo, mid=found.mid, as_one=found.mid, asked=found.lo)


def _theta(fit: Fit) -> Theta:
    if fit.theta is None:
        raise ValueError("a fit without a cost has no peers")
    return fit.theta


def _priced(fit: Fit, value: float, error: float) -> Fit:
    """The fit with another cost of one unit. A log whose counter began anew may be of several trainings: each
    keeps its own cost, and the peers hold nothing against it."""
    stages = {block.stage for block in fit.blocks}
    theta = replace(_theta(fit), value=value, rel_error=error)
    return replace(fit, theta=theta, apart=fit.apart if len(stages) > 1 else (), refit=())


def _together(fit: Fit, theirs: PeerCost) -> Fit:
    """The fit with the run's own cost and its peers', each by its precision."""
    own = _theta(fit)
    a, b = own.rel_error**-2, theirs.error**-2
    value = own.value ** (a / (a + b)) * theirs.value ** (b / (a + b))
    return _priced(fit, value, (a + b) ** -0.5)


def _cleared(own: Mapping[str, Fit], peers: Peers) -> str:
    """The words for it where a person found an earlier run of this cost to be right; else empty."""
    meters = [c for c in own if c != "busy"] or list(own)
    near = [c for c in meters if c in peers.cleared]
    for c in near:
        if _theta(own[c]).value > peers.cleared[c] * (1.0 + Z * peers.costs[c].error):
            return ""
    return "a person found an earlier run of this cost to be right" if near else ""


def _why_not(peers: Peers, unit: str, mem_mib: int | None) -> str:
    """Why the comparison holds nothing against the run, in plain words; empty: it may.

    The same command may read another configuration: what a step holds is told by a log that counts tokens or
    samples, and what model it is of by the memory that its processes hold.
    """
    if peers.is_mixed:
        return "the comparable runs cost different amounts themselves"
    if mem_mib is not None and peers.mem_mib is not None and not is_alike(peers.mem_mib, mem_mib):
        more = 100 * (mem_mib / max(1, peers.mem_mib) - 1)
        return f"its processes held {abs(more):.0f} % {'more' if more > 0 else 'less'} memory: other settings"
    if unit not in ("tokens", "samples"):
        return "the log counts steps alone, and what a step holds may have changed"
    if mem_mib is None or peers.mem_mib is None:
        return "the memory of the runs' processes is not known: their settings may differ"
    return ""


def _visible(own: Mapping[str, Fit], peers: Peers) -> float:
    """The same formula as for a run by itself, with the error of the peers' cost in place of its own, at the
    97.5 % that they are asked for and not 95."""
    meters = [c for c in own if c != "busy"] or list(own)
    share = min(visible_share(replace(_theta(own[c]), rel_error=peers.costs[c].error)) for c in meters)
    return min(1.0, share * (Z + 1.282) / (1.645 + 1.282))
