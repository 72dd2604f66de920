"""The head node: guard.toml, the lake and what comes into it, the night that was audited last."""

from collections.abc import Iterator
from dataclasses import replace
from shlex import quote

from slurm_guard.doctor.checks.heard import AUDIT, AUDITOR, COLLECT
from slurm_guard.doctor.checks.node import room
from slurm_guard.doctor.checks.programs import parse_release
from slurm_guard.doctor.checks.values import count
from slurm_guard.doctor.facts import Auditor, Facts, Folder
from slurm_guard.doctor.finding import BOTH, HEAD, Check, Said, Unseen, ok, problem, seen, unseen, warning
from slurm_guard.doctor.timer import Timer
from slurm_guard.readings import READ_BY
from slurm_guard.sitemodel import IN_MAINTENANCE

_DAY_S = 86_400.0
_NIGHT_S = 1.5 * _DAY_S  # judgement: a night is audited the morning after; half a day later one is missing
_HEARD = "heard"  # audit/hear.py: the node spoke, and no GPU of it was seen
_MOST_NAMED = 8
_AS_AUDITOR = "run it as root or as the user that audits"


def _guard(facts: Facts) -> Iterator[Said]:
    guard = seen(facts.guard)
    if guard.config is None:
        yield problem(guard.error, guard.hint or "slurm-guard config check")
        return
    other = facts.guard_as_auditor
    if not isinstance(other, Unseen) and other.config is None:
        who = "who audits" if isinstance(facts.auditor, Unseen) else f"{facts.auditor.name}, who audits"
        yield problem(
            f"{who}, cannot use guard.toml: {other.error}", other.hint or "slurm-guard config check"
        )
    for words in guard.warnings:
        yield warning(words, f"slurm-guard config check --config {quote(guard.path)}")


def _zone(facts: Facts) -> Iterator[Said]:
    guard = seen(facts.guard)
    facts.config()
    if guard.zone_error:
        yield problem(guard.zone_error, 'timezone = "Europe/Berlin"   # in [report]; else install tzdata')


def _lake(facts: Facts) -> Iterator[Said]:
    folder = seen(facts.stores)["lake"]
    if not folder.exists:
        yield problem(
            f"there is no lake at {folder.path}: nothing was ever collected",
            f"install -d -o {AUDITOR} -m 750 {quote(folder.path)} && {COLLECT}",
        )
        return
    yield from _closed(folder, "every user's command lines and connections")
    if folder.uid == 0:
        yield warning(
            f"{folder.path} is root's, so that collecting and auditing need root, which they should not",
            f"chown -R {AUDITOR} {quote(folder.path)}",
        )
    yield from _readable(facts, "lake", folder.owner)


def _reports(facts: Facts) -> Iterator[Said]:
    folder = seen(facts.stores)["reports"]
    if not folder.exists:
        yield warning(
            f"there is no {folder.path}: no night was audited yet",
            f"install -d -o {AUDITOR} -m 750 {quote(folder.path)} && {AUDIT}",
        )
        return
    yield from _closed(folder, "every user's verdicts")
    lake = seen(facts.stores)["lake"]
    if lake.exists and lake.uid != folder.uid:
        yield warning(
            f"{folder.path} is {folder.owner}'s, and the lake {lake.owner}'s, who audits",
            f"chown -R {quote(lake.owner)} {quote(folder.path)}",
        )
    yield from _readable(facts, "reports", lake.owner if lake.exists else folder.owner)


def _closed(folder: Folder, what: str) -> Iterator[Said]:
    if not folder.is_dir:
        yield problem(f"{folder.path} is no folder", f"mv {quote(folder.path)} {quote(folder.path)}.old")
    elif folder.mode & 0o007:
        yield problem(
            f"everybody may read {what} in {folder.path} (mode {folder.mode:04o})",
            f"chmod o-rwx {quote(folder.path)}",
        )
    elif folder.mode & 0o020:
        yield warning(
            f"group {folder.group} may change what is in {folder.path} (mode {folder.mode:04o})",
            f"chmod g-w {quote(folder.path)}",
        )


def _readable(facts: Facts, name: str, auditor: str) -> Iterator[Said]:
    """Every file, by the rights of who audits; where these were not to be had nothing is said of files."""
    shut = {} if isinstance(facts.shut, Unseen) else facts.shut
    if name not in shut or not shut[name].n:
        return
    found, path = shut[name], seen(facts.stores)[name].path
    at_least = "" if found.all_seen else "at least "
    yield problem(
        f"{at_least}{count(found.n, 'file')} in {path} cannot be read by {auditor}, who audits and passes"
        f" over what he cannot read: {found.first}",
        f"chown -R {quote(auditor)} {quote(path)} && chmod -R u+rwX {quote(path)}",
    )


def _own(facts: Facts) -> Iterator[Said]:
    stores = seen(facts.stores)
    folder, lake = stores["own"], stores["lake"]
    if not folder.exists:
        yield ok("the site keeps no document for each user")
        return
    owner, path = quote(lake.owner if lake.exists else AUDITOR), quote(folder.path)
    right = f"chown {owner} {path} && chmod 711 {path}"
    told = f"{folder.path} is {folder.owner}'s, mode {folder.mode:04o}"
    if not folder.is_dir or folder.mode & 0o022 or (lake.exists and folder.uid != lake.uid):
        yield problem(f"the audit writes no users' own documents, for {told}", right)
    elif not folder.mode & 0o001:
        yield problem(f"users cannot reach their own documents, for {told}", right)
    elif folder.mode & 0o044:
        yield warning(f"everybody may list who has runs, for {told}", right)


def _head_room(facts: Facts) -> Iterator[Said]:
    for folder in seen(facts.stores).values():
        yield from room(folder)


def _quarantine(facts: Facts) -> Iterator[Said]:
    found = seen(facts.quarantine)
    if found.n_recent:
        yield warning(
            f"{count(found.n_recent, 'file')} of the last week in quarantine, the last for {found.reason}",
            f"cat {quote(found.newest)}   # its node and name are the path's; the file lies beside it",
        )
    elif found.n:
        yield ok(f"{count(found.n, 'file')} in quarantine, none of the last week")


def _last_night(facts: Facts) -> Iterator[Said]:
    night = facts.night if facts.night is None else seen(facts.night)
    if night is None:
        yield warning("no night was audited yet", f"{AUDIT}   # yesterday")
        return
    age_s = facts.now_at - night.until_at
    if age_s > _NIGHT_S:
        yield problem(
            f"the last audited night is {night.name}, which ended {age_s / _DAY_S:.0f} days ago",
            f"{AUDIT}   # yesterday; why it did not: journalctl -u slurm-guard-audit",
        )
    elif parse_release(night.release) != parse_release(facts.release):
        yield warning(
            f"night {night.name} was audited by release {night.release}, and this is {facts.release}",
            f"{AUDIT}   # by this release; is another one on the timer's PATH?",
        )
    else:
        yield ok(f"night {night.name} was audited, with {night.n_runs} runs")


def _coverage(facts: Facts) -> Iterator[Said]:
    night = facts.night if facts.night is None else seen(facts.night)
    if night is None:
        yield unseen("no night was audited yet")
        return
    known = () if isinstance(facts.slurm_nodes, Unseen) else facts.slurm_nodes
    without = {node.name for node in known if not node.has_gpus}
    nodes = [node for node in night.nodes if node.node not in without]
    meanwhile = {n.node for n in nodes if n.last_heard_at is None and n.note.startswith(IN_MAINTENANCE)}
    if meanwhile:
        yield ok(f"in night {night.name} silent nodes were in maintenance, {len(meanwhile)} of them")
    nodes = [n for n in nodes if n.node not in meanwhile]
    silent = sorted(n.node for n in nodes if n.last_heard_at is None and not n.note.startswith(_HEARD))
    if silent:
        more = f" and {len(silent) - _MOST_NAMED} more" if len(silent) > _MOST_NAMED else ""
        yield problem(
            f"in night {night.name} nothing was heard of {', '.join(silent[:_MOST_NAMED])}{more}",
            f"ssh {quote(silent[0])} slurm-guard doctor --role node",
        )
    for node in nodes:
        if node.node not in silent and node.note and not node.note.startswith(READ_BY):
            yield warning(
                f"in night {night.name}: {node.note}", "slurm-guard report   # its nodes' section", node.node
            )


def _schedule(facts: Facts) -> Iterator[Said]:
    found = seen(facts.schedule)
    if not found:
        yield warning(
            "neither cron nor systemd starts slurm-guard here, so that no night is audited by itself",
            "systemctl enable --now slurm-guard-audit.timer   # or a line in /etc/cron.d/slurm-guard",
        )
        return
    found = tuple(_judged(timer, facts.auditor) for timer in found)
    right = [timer for timer in found if not timer.fault]  # beside one, a copy that cron passes over is none
    if right:
        yield ok(f"the night is started by {right[0].path}")
        return
    for timer in found:
        yield problem(f"{timer.path} starts no night: {timer.fault}", timer.remedy)


def _judged(timer: Timer, auditor: Auditor | Unseen) -> Timer:
    """Root's night is refused (as-root) where the lake is another user's."""
    if timer.fault or not timer.as_root or isinstance(auditor, Unseen) or auditor.uid == 0:
        return timer
    fault = f"its line is root's, who is refused (as-root), as the lake is {auditor.name}'s"
    return replace(timer, fault=fault, remedy=f"{auditor.name}   # in place of root in {quote(timer.path)}")


def _audit_program(facts: Facts) -> Iterator[Said]:
    who = "who audits" if isinstance(facts.auditor, Unseen) else f"{facts.auditor.name}, who audits"
    places = {place: program for program, place in reversed(seen(facts.barred))}
    for place, program in places.items():
        yield problem(f"{who}, cannot start {program}: {place} bars him", f"chmod o+rx {quote(place)}")


CHECKS = (
    Check(
        "guard-toml",
        "guard.toml: readable, root's alone to write, every key and value right",
        "Nothing of a wrong file is believed: the sampler leaves, and no night is audited.",
        "`slurm-guard config check`",
        BOTH,
        "guard.toml is right",
        _guard,
        "run it as root or as the user that audits",
    ),
    Check(
        "time-zone",
        "`report.timezone` is a zone of this machine",
        "It says where a night begins.",
        "a name as `Europe/Berlin`; `apt install tzdata`",
        HEAD,
        "the report's time zone is known here",
        _zone,
    ),
    Check(
        "lake-folder",
        "the lake: there, not root's, closed to others, each file readable to the user that audits",
        "It holds what every user ran and whom he spoke to.",
        "`chmod 750`, owned by the user that audits",
        HEAD,
        "the lake is closed to others",
        _lake,
    ),
    Check(
        "reports-folder",
        "the reports' folder: closed to others, of the user that audits, who may read each file",
        "Verdicts about people are not for everybody.",
        "`chmod 750`",
        HEAD,
        "the reports are closed to others",
        _reports,
    ),
    Check(
        "own-folder",
        "the folder of users' own documents, where the site has one: mode 0711, of the user that audits",
        "Each user may enter his own and list none.",
        "`chmod 711`",
        HEAD,
        "users may reach their own documents and no others",
        _own,
    ),
    Check(
        "head-room",
        "free space and inodes of lake and reports",
        "What cannot be written is collected another night, unless the node gives it up before.",
        "make room",
        HEAD,
        "there is room for the lake and the reports",
        _head_room,
    ),
    Check(
        "quarantine",
        "files in the lake's quarantine",
        "What was in them is unobserved; many of them are a newer release's, or somebody's forgery.",
        "read the `.reason` beside the file",
        HEAD,
        "no file is in quarantine",
        _quarantine,
        _AS_AUDITOR,
    ),
    Check(
        "last-night",
        "the latest audit document: its age, and the release that wrote it",
        "A timer that stopped is silent.",
        "`slurm-guard audit`, and the timer's log",
        HEAD,
        "",
        _last_night,
        _AS_AUDITOR,
    ),
    Check(
        "coverage",
        "nodes of which the last audited night heard nothing, or less than it should",
        "Their GPU-hours are unobserved.",
        "`slurm-guard doctor --role node` there",
        HEAD,
        "the last night heard of every node",
        _coverage,
        _AS_AUDITOR,
    ),
    Check(
        "schedule",
        "a timer of systemd, or a file of cron, that starts slurm-guard: name, owner, mode, lines, program",
        "Without it no night is audited.",
        "`slurm-guard-audit.timer`, or /etc/cron.d/slurm-guard",
        HEAD,
        "",
        _schedule,
        "run it as root, who may read crontabs",
    ),
    Check(
        "audit-program",
        "whether the user that audits may start the program of the night, and read its package",
        "An installation that only root may enter audits nothing, and cron tells it to a mailbox alone.",
        "`chmod o+rx` of the folder that bars him",
        HEAD,
        "who audits may start the program",
        _audit_program,
        _AS_AUDITOR,
    ),
)
