"""An old, nearly silent connection to outside: a tunnel that waits, or a working process's thin line."""

from dataclasses import replace

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted, lasting
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import ASKS, Check, Example, Rating, finding
from slurm_guard.audit.net.hints import POOL_PORTS, hint, named
from slurm_guard.audit.net.lone import Params, found_lone
from slurm_guard.audit.net.net import Flow
from slurm_guard.audit.net.say import port_of, traffic, who
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity


def find(case: Case, params: Params) -> list[Finding]:
    """One soft finding for all of them; the owner's tie and what is not known decide how much it weighs."""
    found = [f for f in found_lone(case.net, params) if f.allowed is None]
    if not found:
        return []
    flow = max(found, key=lambda f: (_weight(case, f), f.word.age_s))
    word, extra = flow.word, _hint(case, flow)
    someone = who(word.node, (word.pid,), word.exe, several_nodes=len(case.run.nodes) > 1)
    alike = (
        "a line by which work is handed out would look like this, and so would a program's own logger."
        if flow.tie == "stray"
        else "a tunnel that nobody used would look like this, and so would an idle session."
    )
    what = ", which works on the run's GPUs and has no tie to its log," if flow.tie == "stray" else ""
    sentence = (
        f"{someone}{what} kept a connection to {word.peer} outside open for {lasting(word.age_s)} "
        f"that carried next to nothing ({traffic(word.in_b, word.out_b)}): {alike}"
    )
    sentence += f" {'; '.join(extra)[:1].upper()}{'; '.join(extra)[1:]}." if extra else ""
    sentence += f" {counted(len(found) - 1, 'other', 'others')} like it." if found[1:] else ""
    rating = Rating(Severity.MEDIUM, 0.6, _weight(case, flow), Audience.OPERATOR)
    told = finding(CHECK, case, rating, sentence, *(_evidence(case, f) for f in found[:5]))
    return [replace(told, attack=tuple(number for number in CHECK.attack if _fits(number, flow)))]


def _fits(number: str, flow: Flow) -> bool:
    """A port alone is weak: it is named where pools use it. Nor is every thin line one of other work."""
    if number == "T1571":
        return port_of(flow.word.peer) in POOL_PORTS
    return number != "T1496" or flow.tie == "stray"


def _hint(case: Case, flow: Flow) -> tuple[str, ...]:
    return hint(flow.word.exe, case.net.person(flow.word.node, flow.word.pid), port_of(flow.word.peer)).words


def _weight(case: Case, flow: Flow) -> float:
    """Unknown owners and directions, and helpers of the trainer that are not called like tunnels: context."""
    word = flow.word
    helper = flow.helps and not named(word.exe)
    if word.pid is None or word.opened is None or helper:
        return 0.9
    return ASKS + hint(word.exe, case.net.person(word.node, word.pid), port_of(word.peer)).weight


def _evidence(case: Case, flow: Flow) -> Evidence:
    word = flow.word
    rate = ((word.in_b or 0) + (word.out_b or 0)) / max(1.0, word.age_s)
    return Evidence(
        f"{word.exe or 'a process'} to {word.peer}, {lasting(word.age_s)}, both ways",
        round(rate, 2),
        "B/s",
        "lake table flows",
        see.beside(
            see.rows(case.run, "flows", "", (("node", word.node), ("peer", word.peer))),
            f"while it lasts: ss -tinpo on {word.node}",
        ),
        "an idle session, agent or logger of the owner's, or a destination that [network] egress or the job "
        "declares",
    )


CHECK = Check(
    "lone-connection",
    "An old connection that says nothing",
    Family.F,
    detects="A connection to outside that a process of the run opened, held for long and used for little "
    "more than keep-alives, where that process is not the training; also the thin line of a process that "
    "works on the GPU without a tie to the log.",
    does_not_detect="What it is for: no tunnel shows before it is used. A connection that is renewed more "
    "often than it gets old; one of the process that trains.",
    false_alarms="An ssh session left open and idle, an agent that waits for work, a second program's own "
    "logger; whether it has a terminal is not known. Loggers report more, and more out than in. "
    "Unconfirmed: never more than REVIEW by itself.",
    remedy="Ask what it is for; name the destination in [network] egress or in the job's egress=.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "no connections at all"),
        Example("busy-clients", "the trainer's own clients, and connections that end"),
        Example("logger", "a logger's service: more out than in, and several times a keep-alive"),
        Example("idle-declared", "the job declared the destination"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example("idle-tunnel", "a tunnel that waits for somebody"),
        Example("thin-line", "the process beside the training has a thin line to outside"),
    ),
    attack=("T1572", "T1571", "T1496"),
)
