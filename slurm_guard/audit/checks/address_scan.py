"""Many short, nearly empty connections to many places."""

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import ASKS, Check, Example, Rating, finding
from slurm_guard.audit.net.hints import base
from slurm_guard.audit.net.say import where
from slurm_guard.audit.net.scans import Params, found_scans
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity


def find(case: Case, params: Params) -> list[Finding]:
    """One soft finding; without byte counts a crawler looks the same, and it is context."""
    scans = found_scans(case.net, params)
    if not scans:
        return []
    scan = max(scans, key=lambda s: (s.known, s.n_places, s.node))
    sentence = (
        f"{base(scan.exe) if scan.exe is not None else 'A process'} on {scan.node} opened "
        f"{counted(scan.n, 'short connection', 'short connections')} to {scan.n_places:,} {scan.what} "
        f"{where(scan.near)} and received next to nothing: a scan looks like this."
    )
    if not scan.known:
        sentence += " Whether all of that was this run's is not known: bytes, or other owners, are missing."
    rating = Rating(Severity.MEDIUM, 0.8, ASKS if scan.known else 0.9, Audience.OPERATOR)
    evidence = [
        Evidence(
            f"{s.what} that {base(s.exe)} on {s.node} tried, in {counted(s.n, 'connection', 'connections')}",
            float(s.n_places),
            s.what,
            "lake tables briefs and flows",
            see.both(
                see.rows(case.run, "briefs", "", (("node", s.node),)),
                see.rows(case.run, "flows", "", (("node", s.node), ("gone", "true"))),
            ),
            "a program that looks for its partners, a crawler whose pages are that small"
            + ("" if s.known else ", or services of the node, which may have made them"),
        )
        for s in scans[:5]
    ]
    return [finding(CHECK, case, rating, sentence, *evidence)]


CHECK = Check(
    "address-scan",
    "Many places tried",
    Family.F,
    detects="Many connections from one node of the run, each over at once and nearly empty, to many "
    "addresses or to many ports of one address that are not the run's own nodes; also those that came and "
    "went between two looks of the node, which are counted, and those that were never answered.",
    does_not_detect="A scan of a few places, one by UDP or raw packets, and one of which the node cannot "
    "tell whose it was: with another user's run there, one whose every probe is refused within microseconds. "
    "That there was one stands with the node (*Nodes*) and in the network lane of the runs that were there.",
    false_alarms="Frameworks that look for partners beyond the run's nodes. Downloads of many small files "
    "receive more than a banner. Where bytes are not known a crawler looks the same: context. Soft.",
    remedy="Ask what was looked for; keep compute nodes from management networks.",
    params=Params(),
    find=find,
    explained=(
        Example("busy-clients", "many short downloads from few places"),
        Example("crawler", "thousands of places, and something received from each"),
        Example("ring", "the run's own nodes"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("scan", "every address of a network, one after the other"),),
    attack=("T1046",),
)
