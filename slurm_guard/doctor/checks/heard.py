"""Nodes' data on the head node: can it be collected, and which node should have been heard, and was not."""

from collections.abc import Iterator
from datetime import datetime, timezone
from shlex import quote

from slurm_guard.doctor.checks.upkeep import missed_s
from slurm_guard.doctor.facts import Accounting, Facts, NodeData
from slurm_guard.doctor.finding import HEAD, Check, Said, Unseen, ok, problem, seen, unseen, warning

AUDITOR = "slurm-guard-audit"  # the account that packages make
COLLECT = f"runuser -u {AUDITOR} -- slurm-guard collect"
AUDIT = f"runuser -u {AUDITOR} -- slurm-guard audit"
_STALE_S = 1.25 * 86_400  # judgement: an idle node's stream is sealed each hour, and collected each night
_WRITTEN_S = 600.0  # from a job's start until something of it may be missed in a collection. Judgement
_MOST_NAMED = 8
# States of nodes that run nothing, or are in a reservation with the flag MAINT; ~ and %: powered down.
_AWAY = ("down", "power", "future", "maint")


def _node_data(facts: Facts) -> Iterator[Said]:
    data = {one.node: one for one in seen(facts.data)}
    if not data:
        yield warning("nothing was collected of any node yet", f"{COLLECT}   # once a job has run")
        return
    idle: list[str] = []
    dark: list[str] = []
    for node in _expected(facts, data):
        at = data[node].newest_at if node in data else None
        if at is not None and missed_s(facts, node, at) <= _STALE_S:
            continue
        had = _had_work(facts, node, at)
        if had:
            yield _silent(node, at, had)
        else:
            (dark if had is None else idle).append(node)
    if dark:
        why = facts.accounting.why if isinstance(facts.accounting, Unseen) else ""
        yield unseen(f"whether {_named(dark)} had a job since the last word cannot be seen: {why}")
    if idle:
        yield ok(f"nothing came of {_named(idle)}, which had no job with GPUs since")


def _expected(facts: Facts, data: dict[str, NodeData]) -> list[str]:
    """Nodes with GPUs that are up; where Slurm names none, all that were ever heard."""
    if isinstance(facts.slurm_nodes, Unseen) or not facts.slurm_nodes:
        return sorted(node for node, one in data.items() if one.newest_at is not None)
    boards = {node.name: node.state for node in facts.slurm_nodes if node.has_gpus}
    return sorted(n for n, state in boards.items() if not state.startswith(_AWAY) and state[-1:] not in "~%")


def _had_work(facts: Facts, node: str, at: float | None) -> str | None:
    """Why something of the node should have come since; empty: nothing had to. Null: accounting is silent.

    Where a prolog starts the sampler, a node is silent from its boot to its first job, and loses nothing.
    """
    if _beat_missing(facts, node):
        return "systemd runs its sampler, which does not beat"
    if not isinstance(facts.accounting, Accounting):
        return None
    since, until = _watched(facts)
    starts = facts.accounting.gpu_starts.get(node, ())
    # Accounting holds the last day alone: of a node that was heard before, each of its runs came after.
    if any(start < until - _WRITTEN_S and (at is not None or start > since) for start in starts):
        return "accounting has a job with GPUs on it since"
    return ""


def _beat_missing(facts: Facts, node: str) -> bool:
    """Whether the node is this machine, where systemd runs the sampler, and it is not alive."""
    unit = "" if isinstance(facts.control, Unseen) else facts.control.unit
    samplers = () if isinstance(facts.samplers, Unseen) else facts.samplers
    here = {facts.host, *(one.node for one in samplers)}
    return bool(unit) and node in here and not any(s.node == node and s.silence is None for s in samplers)


def _watched(facts: Facts) -> tuple[float, float]:
    """From the first that came of any node, for what ran before the installation nobody looked at; to the
    last collection, or to now where that is overdue itself."""
    data = seen(facts.data)
    since = min((one.first_at for one in data if one.first_at is not None), default=facts.now_at)
    until = max((one.collected_at for one in data if one.collected_at is not None), default=since)
    return since, until if facts.now_at - until <= _STALE_S else facts.now_at


def _silent(node: str, at: float | None, had: str) -> Said:
    if at is None:
        return problem(
            f"nothing of it was ever collected, and {had}",
            f"{COLLECT} --from ssh://{quote(node)}   # or add its spool to [lake] spools",
            node,
        )
    told = datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return problem(
        f"the last that was collected of it is of {told}, and {had}",
        f"ssh {quote(node)} slurm-guard node status   # and is its spool collected?",
        node,
    )


def _spools(facts: Facts) -> Iterator[Said]:
    own = facts.config().node.spool_dir  # which the first job makes, and a head node without jobs never has
    for spool in seen(facts.spools):
        if not spool.exists and spool.path != own:
            yield problem(
                f"[lake] spools names {spool.path}, which is no folder: nothing is collected from it",
                f'spools = ["{own}"]   # in [lake], or where the nodes\' spools are; else mount it',
            )
        elif spool.barred:
            who = _collector(facts)
            joins = f"usermod -aG {quote(spool.group)} {quote(who)}"
            if spool.group in ("", "root"):
                joins = f"chgrp slurm-guard {quote(spool.barred)}"
            yield problem(
                f"{who}, who collects, may not read {spool.barred}: what came there stays there",
                f"{joins} && chmod g+rx {quote(spool.barred)}   # then look again",
            )


def _collector(facts: Facts) -> str:
    return AUDITOR if isinstance(facts.auditor, Unseen) else facts.auditor.name


def _named(nodes: list[str]) -> str:
    more = f" and {len(nodes) - _MOST_NAMED} more" if len(nodes) > _MOST_NAMED else ""
    return f"{', '.join(nodes[:_MOST_NAMED])}{more}"


CHECKS = (
    Check(
        "spools",
        "the folders of `[lake] spools`: there, and read by the user that collects",
        "What lies in them is not collected, and after some weeks the node gives it up.",
        "`gpasswd -a slurm-guard-audit slurm-guard`, or another path in guard.toml",
        HEAD,
        "the spools can be collected",
        _spools,
        "run it as root or as the user that audits",
    ),
    Check(
        "node-data",
        "what was collected of each of Slurm's nodes with GPUs, and when; silent is one that had a job with "
        "GPUs meanwhile by accounting, or whose sampler systemd runs",
        "A node whose hooks or transport are silent is unobserved, and nobody notices by itself.",
        "`slurm-guard node status` there, then `slurm-guard collect`",
        HEAD,
        "something new was collected of every node with GPUs",
        _node_data,
        "run it as root or as the user that audits, where sacct answers",
    ),
)
