"""What a head node has: lake, spools, reports, the outbox, the mail server, and what starts the night."""

import contextlib
import importlib.util
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from slurm_guard.clock import SystemClock
from slurm_guard.config import Config
from slurm_guard.doctor.bounded import Identity
from slurm_guard.doctor.facts import (
    Auditor,
    Folder,
    MailTry,
    Night,
    NodeData,
    Quarantine,
    Skew,
    Spool,
    StuckLetter,
)
from slurm_guard.doctor.fromnode import look_at_folder, user_name
from slurm_guard.doctor.shut import Shut, find_shut
from slurm_guard.doctor.ways import barrier
from slurm_guard.errors import GuardError
from slurm_guard.lake.manifest import read_manifest
from slurm_guard.report.archive import DOCUMENT, list_nights, read_document
from slurm_guard.report.letterbox import PENDING, Letterbox, Status
from slurm_guard.report.ownfiles import own_folder
from slurm_guard.report.secret import read_password
from slurm_guard.report.smtp import Server, SmtpTransport

_WEEK_S, _DAY_S = 7 * 86_400.0, 86_400.0
_KINDS = ("sealed", "seals", "progress", "tickets", "ends", "open")
_MOST_FILES = 20_000  # of one folder whose times are looked at; judgement, some 40 ms
_MOST_NODES = 1_000  # of a spool whose folders are tried; judgement, some 50 ms
_MOST_TICKETS = 200  # of a node that its clock is judged by, the newest first


def find_auditor(config: Config) -> Auditor:
    """The lake's owner, who collects and audits; where there is no lake, whoever runs this."""
    try:
        uid = os.stat(config.lake.path).st_uid  # noqa: PTH116
    except OSError:
        uid = os.geteuid()
    return Auditor(user_name(uid), uid)


def identity_of(auditor: Auditor) -> Identity | None:
    """To look with the auditor's rights instead of root's; null: this process has them or may not change."""
    import pwd

    if os.geteuid() != 0 or auditor.uid == 0:
        return None
    try:
        entry = pwd.getpwuid(auditor.uid)
    except KeyError:
        return None
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid)


def look_at_stores(config: Config) -> dict[str, Folder]:
    """Lake, reports and the folder of own documents."""
    reports = Path(config.report.path)
    places = {
        "lake": config.lake.path,
        "reports": str(reports),
        "own": str(own_folder(config.report.own, reports)),
    }
    return {name: look_at_folder(path) for name, path in places.items()}


def look_at_files(config: Config) -> dict[str, Shut]:
    """Files of lake and reports that the lake's owner, who this has to be, may not read."""
    return find_shut({"lake": config.lake.path, "reports": config.report.path}, find_auditor(config).uid)


def load_data(config: Config) -> tuple[NodeData, ...]:
    """The files of each node, in the spools, the drop folder and what the lake remembers of them."""
    times: dict[str, list[float]] = {}
    collected: dict[str, float] = {}
    lake = Path(config.lake.path)
    for spool in dict.fromkeys([*map(Path, config.lake.spools), lake / "drop"]):
        for folder in _folders(spool):
            times.setdefault(folder.name, []).extend(_times_inside(folder))
    for path in sorted(lake.glob("v*/manifest/*.json")):
        node = path.name.rsplit(".", 2)[0]
        times.setdefault(node, []).extend(known.mtime_ns / 1e9 for known in read_manifest(path).values())
        collected[node] = max(collected.get(node, 0.0), path.stat().st_mtime)
    return tuple(
        NodeData(node, max(found, default=None), min(found, default=None), collected.get(node))
        for node, found in sorted(times.items())
    )


def look_at_spools(config: Config) -> tuple[Spool, ...]:
    """The folders that are collected from, by the rights of whoever looks."""
    return tuple(_spool(Path(path)) for path in dict.fromkeys(config.lake.spools))


def _spool(spool: Path) -> Spool:
    barred = barrier(spool)
    if not barred and not spool.is_dir():
        return Spool(str(spool), False)
    if not barred:
        nodes = list(_folders(spool))[:_MOST_NODES]
        inside = (place for node in nodes for place in (node, *(node / kind for kind in _KINDS)))
        barred = next((str(place) for place in inside if barrier(place)), "")
    return Spool(str(spool), True, barred, look_at_folder(barred).group if barred else "")


def _folders(spool: Path) -> Iterator[Path]:
    """The nodes' folders; a spool that is not there has none, one that may not be listed raises OSError."""
    with contextlib.suppress(FileNotFoundError), os.scandir(spool) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        yield from (spool / name for name in sorted(names))


def _times_inside(folder: Path) -> list[float]:
    times = []
    for kind in _KINDS:
        with contextlib.suppress(FileNotFoundError), os.scandir(folder / kind) as entries:
            for n, entry in enumerate(entries):
                if n >= _MOST_FILES:
                    break
                with contextlib.suppress(FileNotFoundError):
                    times.append(entry.stat(follow_symlinks=False).st_mtime)
    return times


def load_quarantine(config: Config, now_at: float) -> Quarantine:
    """Reasons in the lake's quarantine."""
    reasons: list[tuple[float, Path]] = []
    for path in Path(config.lake.path, "quarantine").glob("*/*/*.reason"):
        with contextlib.suppress(FileNotFoundError):
            reasons.append((path.stat().st_mtime, path))
    if not reasons:
        return Quarantine(0, 0)
    _, newest = max(reasons)
    recent = sum(at >= now_at - _WEEK_S for at, _ in reasons)
    said = newest.read_text("utf-8", "replace")[:200].strip()
    return Quarantine(len(reasons), recent, str(newest), said)


def load_night(config: Config) -> Night | None:
    """The latest audit document; null: there is none. Raises GuardError where it cannot be read."""
    folder = Path(config.report.path)
    list(folder.iterdir())  # a folder that may not be listed is no empty one
    nights = list_nights(folder)
    if not nights:
        return None
    path = folder / nights[-1] / DOCUMENT
    audit = read_document(path)
    return Night(
        nights[-1], audit.until_at, path.stat().st_mtime, audit.version, audit.nodes, len(audit.judgements)
    )


def load_skews(config: Config, starts: Mapping[int, tuple[float, ...]], now_at: float) -> tuple[Skew, ...]:
    """How far the tickets' times are from their jobs' starts, by Slurm's variable, else by accounting."""
    found = []
    spools = [*map(Path, config.lake.spools), Path(config.lake.path, "drop"), Path(config.node.spool_dir)]
    for spool in dict.fromkeys(spools):
        for folder in _folders(spool):
            after = list(_afters(_newest_tickets(folder / "tickets", now_at), starts))
            if after:
                found.append(Skew(folder.name, min(after, key=abs), len(after)))
    return tuple(found)


def _newest_tickets(folder: Path, now_at: float) -> list[Path]:
    aged = []
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                aged.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
    recent = [each for each in aged if each[0] >= now_at - _DAY_S]
    return [Path(path) for _, path in sorted(recent, reverse=True)[:_MOST_TICKETS]]


def _afters(paths: Iterable[Path], starts: Mapping[int, tuple[float, ...]]) -> Iterator[float]:
    """Seconds from the controller's start to the node's ticket; whole seconds are Slurm's grain."""
    for path in paths:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            with path.open("rb") as file:
                ticket = json.loads(file.read(1 << 20))
            at, told = float(ticket["at"]), ticket.get("slurm_start_at")
            known = (float(told),) if told is not None else starts.get(int(ticket["job_id"]), ())
            if known:
                yield min((at - start for start in known), key=abs)


def try_mail(config: Config, timeout_s: float) -> MailTry:
    """Connect, TLS and login as a letter would, and no letter."""
    conf = config.mail
    if conf.transport == "sendmail":
        found = os.access(conf.sendmail, os.X_OK)
        return MailTry() if found else MailTry(f"{conf.sendmail} cannot be started", "set mail.sendmail")
    try:
        password = read_password(Path(conf.password_file)) if conf.user else ""
        server = Server(
            conf.host, conf.port, min(conf.timeout_s, timeout_s / 3), conf.tls, conf.ca_file,
            conf.check_certificate, conf.user, password,
        )  # fmt: skip
        SmtpTransport(server).try_out()
    except GuardError as error:
        return MailTry(f"{error.slug}: {error.sentence}", error.hint)
    return MailTry()


def look_at_chat(config: Config) -> MailTry:
    """The file of chat URLs as `mail --send` reads it, and whether there is what sends to them."""
    from slurm_guard.report.chat import read_urls  # it loads the templates' engine, which nodes do without

    if not config.chat.urls_file:
        return MailTry()
    try:
        read_urls(Path(config.chat.urls_file))
    except GuardError as error:
        return MailTry(f"{error.slug}: {error.sentence}", error.hint)
    there = importlib.util.find_spec("apprise") is not None
    return MailTry() if there else MailTry("apprise is not installed", "pip install 'slurm-guard[chat]'")


def load_letters(config: Config, now_at: float) -> tuple[StuckLetter, ...]:
    """Letters of the last two weeks that nobody got and that do not go by themselves, or not for a day."""
    box = Letterbox(Path(config.report.path) / "outbox", SystemClock())
    stuck = []
    for kept in box.recent():
        state = kept.state
        late = state.status in PENDING and state.queued_at < now_at - _DAY_S
        if late or state.status in (Status.UNCLEAR, Status.REFUSED, Status.EXPIRED):
            stuck.append(StuckLetter(kept.name, state.status.value, state.to, state.detail))
    return tuple(stuck)
