"""The node itself: its sampler, its folders, its clock, and what switches it off."""

import time
from collections.abc import Iterator
from shlex import quote

from slurm_guard.doctor.checks.hooks import own
from slurm_guard.doctor.checks.values import value, version
from slurm_guard.doctor.facts import Facts, Folder
from slurm_guard.doctor.finding import BOTH, NODE, Check, Said, Unseen, ok, problem, seen, unseen, warning

_MIB = 1 << 20
# Judgement: below these the sampler or the collector soon cannot write; a busy node writes 100 MiB a day.
_FULL_B, _NEARLY_B = 256 * _MIB, 2048 * _MIB
_FULL_INODES, _NEARLY_INODES = 1_000, 20_000
_NOTED_S = 5.0  # of clocks: what NTP never leaves. Judgement
_STILL_S = 60.0  # a job's start to its prolog: nodes that boot for a job take minutes, so the least counts
_SLUID_SINCE = (26, 5)


def _sampler(facts: Facts) -> Iterator[Said]:
    samplers = seen(facts.samplers)
    starts = (
        facts.settings.values.get("START_SAMPLER", "yes") if not isinstance(facts.settings, Unseen) else ""
    )
    unit = "" if isinstance(facts.control, Unseen) else facts.control.unit
    if not samplers:
        if starts == "no" and not unit:
            yield problem(
                "nobody starts the sampler: START_SAMPLER=no, and slurm-guardd.service is not enabled",
                "systemctl enable --now slurm-guardd.service",
            )
        else:
            yield warning(
                "no sampler has run here since the boot; the first job's prolog or systemd starts it",
                "systemctl start slurm-guardd.service   # or let a job run, and look again",
            )
    for sampler in samplers:
        if sampler.silence is not None:
            yield problem(
                f"the sampler is silent: {sampler.silence}",
                sampler.hint
                or "journalctl -t slurm-guard-sampler   # its last words; the next prolog starts one",
                sampler.node,
            )
            continue
        for cut in sampler.cuts:
            yield warning(f"the sampler does not see {cut}", "docs/node.md says what it needs", sampler.node)
        if not sampler.cuts:
            yield ok("the sampler is alive", sampler.node)


def _switched_off(facts: Facts) -> Iterator[Said]:
    for switch in seen(facts.switches):
        since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(switch.since_at))
        yield warning(
            f"slurm-guard is switched off by {switch.path} since {since}", f"rm {quote(switch.path)}"
        )


def _run_folder(facts: Facts) -> Iterator[Said]:
    yield from _root_folder(seen(facts.folders)["run"], 0o711, "tickets")


def _progress_folder(facts: Facts) -> Iterator[Said]:
    folder = seen(facts.folders)["progress"]
    yield from _root_folder(folder, 0o755, "progress files")
    if folder.exists and folder.is_dir and folder.mode & 0o005 != 0o005:
        yield problem(
            f"users cannot enter {folder.path} (mode {folder.mode:04o}), where their progress files are",
            f"chmod 755 {quote(folder.path)}",
        )


def _root_folder(folder: Folder, mode: int, what: str) -> Iterator[Said]:
    make = f"install -d -o root -m {mode:o} {quote(folder.path)}"
    if not folder.exists:
        yield warning(f"{folder.path}, which holds {what}, is not there yet; the first prolog makes it", make)
    elif not folder.is_dir:
        yield problem(
            f"{folder.path}, which is to hold {what}, is no folder",
            f"mv {quote(folder.path)} {quote(folder.path + '.old')} && {make}",
        )
    elif folder.uid != 0 or folder.mode & 0o022:
        yield problem(
            f"others may change {what}: {folder.path} is {folder.owner}'s, mode {folder.mode:04o}",
            f"chown root:root {quote(folder.path)} && chmod {mode:o} {quote(folder.path)}",
        )
    elif folder.unsafe:
        yield problem(
            f"{folder.unsafe[0].path}, above {folder.path}, {folder.unsafe[0].why}", own(folder.unsafe[0])
        )


def _spool_folder(facts: Facts) -> Iterator[Said]:
    folder = seen(facts.folders)["spool"]
    yield from _root_folder(folder, 0o2750, "what was seen")
    if not folder.exists or not folder.is_dir or folder.uid != 0:
        return
    if folder.mode & 0o007:
        yield problem(
            f"everybody may look into {folder.path} (mode {folder.mode:04o}), at all users' command lines",
            f"chmod 2750 {quote(folder.path)}",
        )
    elif folder.gid == 0:
        yield warning(
            f"{folder.path} belongs to group root, so that only root can collect it",
            f"chgrp slurm-guard {quote(folder.path)} && chmod 2750 {quote(folder.path)}   # or another group",
        )
    elif not folder.mode & 0o2000:
        yield problem(
            f"{folder.path} lacks the set-group-id bit: what is made below it is not the collector's to read",
            f"chmod 2750 {quote(folder.path)}",
        )


def _node_room(facts: Facts) -> Iterator[Said]:
    for folder in seen(facts.folders).values():
        yield from room(folder)


def room(folder: Folder) -> Iterator[Said]:
    """Space and inodes of the file system of one folder."""
    if not folder.exists:
        return
    few = folder.n_inodes > 0 and folder.n_free < _NEARLY_INODES
    if folder.free_b < _FULL_B or (few and folder.n_free < _FULL_INODES):
        said = f"{folder.free_b // _MIB} MiB and {folder.n_free:,} files are all that fits on {folder.path}"
        yield problem(said, f"df -h {quote(folder.path)}; df -i {quote(folder.path)}   # make room")
    elif (folder.free_b < _NEARLY_B and "/run" not in folder.path) or few:
        said = f"{folder.path} is nearly full: {folder.free_b // _MIB} MiB, {folder.n_free:,} files left"
        yield warning(said, f"df -h {quote(folder.path)}; df -i {quote(folder.path)}   # make room")


def _skew(facts: Facts) -> Iterator[Said]:
    skews = seen(facts.skews)
    slack_s = facts.config().audit.slack_s
    if not skews:
        untold = (version(facts) or (23, 2)) < (23, 2)  # its prologs are not told when their job began
        look = (
            "slurm-guard doctor --role head   # there accounting is asked"
            if untold
            else "let a job run first"
        )
        yield unseen("no ticket of the last day is here whose job's start is known", look)
    for skew in skews:
        late, early = skew.least_s > _STILL_S, skew.least_s < -_NOTED_S
        if not (late or early):
            continue
        off = f"{abs(skew.least_s):.0f} s {'behind' if early else 'ahead of'}"
        said = problem if abs(skew.least_s) > max(slack_s, _STILL_S) else warning
        yield said(
            f"the node's clock is at least {off} slurmctld's in each of {skew.n} tickets",
            "chronyc tracking   # on the node and on slurmctld's machine; systemctl restart chronyd",
            skew.node,
        )


def _cgroups(facts: Facts) -> Iterator[Said]:
    kind = value(facts, "ProctrackType").lower()
    if kind == "proctrack/pgid":
        yield problem(
            "ProctrackType=proctrack/pgid follows process groups alone, and no process can be told a job's",
            "ProctrackType=proctrack/cgroup   # in slurm.conf, then restart slurmd",
        )
    elif kind == "proctrack/linuxproc":
        yield warning(
            "ProctrackType=proctrack/linuxproc loses processes that leave their parents, and so do we",
            "ProctrackType=proctrack/cgroup   # in slurm.conf, then restart slurmd",
        )
    elif kind == "proctrack/cgroup":
        control = seen(facts.control)
        if not control.freezer_v1 and not control.unified:
            yield problem(
                "no control groups are mounted here, and ProctrackType=proctrack/cgroup needs them",
                "mount -t cgroup2 none /sys/fs/cgroup",
            )
        elif control.unified and not control.freezer_v1 and _has_sluids(facts):
            yield ok("jobs' control groups are named by SLUIDs, which tickets tell apart")
    else:
        yield unseen(f"ProctrackType={kind or 'unset'} is none that is known here")


def _has_sluids(facts: Facts) -> bool:
    return (version(facts) or (0, 0)) >= _SLUID_SINCE and value(facts, "CgroupJobIdPaths").lower() != "yes"


def _parser(facts: Facts) -> Iterator[Said]:
    wrong = seen(facts.control).parser_user
    if wrong:
        user = facts.config().progress.parser_user
        yield problem(
            f"progress.parser_user {user} cannot parse users' logs: {wrong}",
            f"useradd --system --no-create-home --shell /usr/sbin/nologin {quote(user)}",
        )


def _leftovers(facts: Facts) -> Iterator[Said]:
    for left in seen(facts.leftovers):
        if left.status == "undoing":
            yield problem(
                f"slurm-guard was not taken off wholly, as {left.path} says",
                "slurm-guard uninstall --apply   # goes on where it stopped",
            )
        elif left.status == "unreadable":
            yield problem(
                f"what an installation changed cannot be read from {left.path}",
                "slurm-guard uninstall   # says what is wrong with it, and the way out",
            )
        else:
            yield problem(
                f"an installation stopped half-way, as {left.path} says",
                "slurm-guard install --apply   # goes on where it stopped; uninstall takes it back",
            )


CHECKS = (
    Check(
        "sampler",
        "whether each node's sampler here is alive and beats, and what it cannot see",
        "What no sampler saw is unobserved, and stays so.",
        "`slurm-guard node status`, the journal, systemd's unit",
        NODE,
        "",
        _sampler,
    ),
    Check(
        "switched-off",
        "files that switch hooks or sampler off (`DISABLED`, `node.disabled`, `node.disabled_everywhere`)",
        "They are made in a hurry, and forgotten.",
        "remove the file",
        NODE,
        "nothing is switched off",
        _switched_off,
    ),
    Check(
        "run-folder",
        "`node.run_dir`: root's, written by nobody else",
        "Who can write there can forge tickets.",
        "`install -d -o root -m 711`",
        NODE,
        "the folder of tickets is root's",
        _run_folder,
    ),
    Check(
        "spool-folder",
        "`node.spool_dir`: root's, set-group-id, read by the collector's group and nobody else",
        "It holds all users' command lines; and what the group cannot read is not collected.",
        "`install -d -o root -g slurm-guard -m 2750`",
        NODE,
        "the spool is root's, and the collector's to read",
        _spool_folder,
    ),
    Check(
        "progress-folder",
        "`progress.client_dir`: root's, and users may enter it",
        "Jobs write their progress files below it.",
        "`install -d -o root -m 755`",
        NODE,
        "the folder of progress files is right",
        _progress_folder,
    ),
    Check(
        "node-room",
        "free space and inodes where hooks and sampler write",
        "On a full disk windows are lost; the gap shows, and what was done in it does not.",
        "make room, or lower `node.spool_mib`",
        NODE,
        "there is room on the node",
        _node_room,
    ),
    Check(
        "clocks",
        "the tickets' times beside their jobs' starts by slurmctld's clock",
        "Windows are laid over accounting; beyond `audit.slack_s` work falls outside of its run.",
        "`chronyc tracking` on both machines",
        BOTH,
        "the nodes' clocks agree with slurmctld's",
        _skew,
        "run it as root or as the collector, where spools lie",
    ),
    Check(
        "cgroups",
        "`ProctrackType`, and the control groups that this kernel has",
        "By them a process is told to be a job's, whatever it does to hide.",
        "`ProctrackType=proctrack/cgroup`",
        NODE,
        "processes are told to be a job's by control groups",
        _cgroups,
    ),
    Check(
        "parser-user",
        "`progress.parser_user` is there, and is not root",
        "What users wrote is parsed with its rights.",
        "a system user that owns nothing",
        NODE,
        "logs are parsed by a user without rights",
        _parser,
    ),
    Check(
        "half-installed",
        "journals of an installation in /var/lib/slurm-guard/install that did not end",
        "Half of a change is worse than none, and can be taken back.",
        "`slurm-guard install --apply` goes on, `slurm-guard uninstall --apply` takes it back",
        BOTH,
        "no installation stopped half-way",
        _leftovers,
    ),
)
