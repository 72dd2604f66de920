"""Runs beside their comparable ones of earlier nights: what is left over of each with their word."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from slurm_guard.audit.bounds import Left, left_over
from slurm_guard.audit.compare import Compared, as_shown, compare
from slurm_guard.audit.facts import Facts
from slurm_guard.audit.fingerprint import Fingerprint, fingerprint
from slurm_guard.audit.holds import GpuUser
from slurm_guard.audit.knownrises import KnownRises, Shown, find_rises, recall_rises
from slurm_guard.audit.peers import Key, Past, Who, find_peers, recall
from slurm_guard.audit.study import Study
from slurm_guard.audit.track import Track
from slurm_guard.model import Run


@dataclass(frozen=True, slots=True)
class Earlier:
    """What earlier nights tell, and by what tonight's runs are known to be of a kind."""

    prints: Mapping[int, Fingerprint]
    mem_mib: Mapping[int, int]
    past: Past
    rises: Mapping[Key, tuple[Shown, ...]]
    alone: Mapping[
        int, bool
    ]  # no process worked beside those that make the logged progress, as far as is known


@dataclass(frozen=True, slots=True)
class Beside:
    """One run. `left` has the peers' word, `own_left` is without their costs; both with `rises`, the earlier
    runs that explain lasting rises of its cost."""

    left: Left
    own_left: Left
    device_left: Left  # of all work on its GPUs
    fingerprint: Fingerprint
    mem_mib: int | None
    compared: Compared | None
    rises: KnownRises | None


def earlier_of(
    runs: Mapping[int, Run],
    facts: Facts,
    known: tuple[Mapping[int, list[GpuUser]], Mapping[int, Track]],
    told: tuple[Mapping[int, str], Mapping[int, int]],
) -> Earlier:
    """The part of the history that speaks of these runs, by place. `known`: their processes and tracks;
    `told`: models of their GPUs, and the most memory that they held on one, MiB."""
    users, tracks = known
    boards, mem_mib = told
    prints = {
        i: fingerprint(run, tuple(users.get(i, ())), tracks[i], boards.get(i, "")) for i, run in runs.items()
    }
    rows = None if facts.costs is None else facts.costs.costs
    said = {d.subject.run: d.word for d in facts.words.during(facts.from_at).dispositions}
    return Earlier(
        prints,
        mem_mib,
        recall(rows, prints.values(), said),
        recall_rises(rows, prints.values(), said),
        {i: len({user.cls for user in users.get(i, ())}) < 2 for i in runs},
    )


def beside(i: int, run: Run, studied: Study, earlier: Earlier) -> Beside:
    """The run at place `i` beside those of its kind; by itself where there are none."""
    print_, mem_mib = earlier.prints[i], earlier.mem_mib.get(i)
    split, pipes = studied.is_split, studied.pipes
    alone = left_over(studied.own, is_split=split, pipes=pipes)
    device = left_over(studied.device, is_split=False, pipes=pipes)
    rises = find_rises(earlier.rises, print_, run.uid, studied.levels) if earlier.alone[i] else None
    if not earlier.alone[i]:  # another process may be what made the steps dearer
        alone, device = (replace(left, lo=left.asked) for left in (alone, device))
    elif rises is not None:
        alone = as_shown(studied.own, alone, list(studied.cuts), (split, pipes))
        device = as_shown(studied.device, device, list(studied.cuts), (False, pipes))
    own = {channel: fit for channel, fit in studied.own.items() if fit.theta is not None}
    peers = find_peers(earlier.past, print_, Who(run.uid, run.account, mem_mib), own) if own else None
    if peers is None:
        return Beside(alone, alone, device, print_, mem_mib, None, rises)
    left, compared = compare(own, alone, peers, (split, pipes, print_.unit, mem_mib))
    return Beside(left, alone, device, print_, mem_mib, compared, rises)
