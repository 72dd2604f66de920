"""The whole plan from the facts: pure."""

from pathlib import Path

from slurm_guard.install.blocks import put_in
from slurm_guard.install.change import Action, Change, Draft, Plan, Problem
from slurm_guard.install.conflines import LISTS, Lines, plan_lines
from slurm_guard.install.facts import Facts
from slurm_guard.install.files import (
    AUDITOR,
    CONFIGURATION,
    SERVICE,
    TIMER,
    guard_toml,
    head_files,
    node_files,
)

GROUP = "slurm-guard"  # reads the spool
UNKNOWN = (0, 0)  # before every version: one line of each key holds everywhere


def make_plan(facts: Facts) -> Plan:
    """What has to be done for the role."""
    draft = Draft()
    places = facts.places
    if facts.role in ("node", "all"):
        draft.changes += node_files(places, facts.have, facts.old_settings, facts.systemd)
    if facts.role in ("head", "all"):
        draft.changes += head_files(places, facts.have, facts.systemd)
    toml = places.etc / CONFIGURATION
    draft.changes.append(
        Change(toml, guard_toml(places), 0o644, "configuration, all of it comments", keep=True)
    )
    if facts.conf is not None:
        _plan_slurm_conf(facts, draft)
    else:
        _say_unknown_site(facts, draft)
    draft.warnings += facts.loose
    _plan_actions(facts, draft)
    return draft.done(facts.role)


def _plan_slurm_conf(facts: Facts, draft: Draft) -> None:
    conf = facts.conf
    assert conf is not None
    if conf.problems:
        wrong = conf.problems[0]
        sentence = f"{wrong.path}:{wrong.number}: {wrong.sentence}"
        hint = "Slurm refuses that line too; mend it first, or leave slurm.conf alone with --no-slurm-conf"
        if facts.hands_off:
            draft.notes.append(f"{sentence}, which Slurm refuses too")
        else:
            draft.problems.append(Problem(sentence, hint))
    if facts.version is None:
        draft.notes.append(
            "Slurm's version is not known here: done is what holds in every one (--slurm-version names it)"
        )
    lines = Lines(conf, facts.version or UNKNOWN, facts.places, facts.texts)
    plan_lines(lines, facts.with_task_prolog)
    if facts.role != "head":
        draft.changes += lines.programs
    draft.notes += lines.notes
    if "runinjob" in (conf.last("PrologFlags") or "").lower() and not facts.systemd:
        draft.notes.append(
            "PrologFlags=RunInJob: a sampler that a prolog starts ends with that job; start it another way"
        )
    draft.by_hand += lines.by_hand
    if not lines.edits:
        return
    if facts.hands_off:
        draft.notes.append(f"slurm.conf is not changed: {facts.hands_off}")
        draft.by_hand[:0] = lines.words
    else:
        _add_edits(facts, lines, draft)
        _say_order(facts, draft)


def _add_edits(facts: Facts, lines: Lines, draft: Draft) -> None:
    for path in dict.fromkeys(path for path, _ in lines.edits):
        edits = [edit for there, edit in lines.edits if there == path]
        text = put_in(lines.conf.texts[path], edits, lines.conf.newline(path))
        real = facts.real.get(path, path)
        draft.changes.append(Change(real, text, 0o644, "names the hooks", edit=True))


def _say_order(facts: Facts, draft: Draft) -> None:
    draft.notes.append(
        "slurm.conf has to be the same on all machines, and takes effect with `scontrol reconfigure`"
    )
    if facts.role == "head":
        draft.notes.append(
            "before that, every node needs its half (`slurm-guard install --role node --apply`): a node"
            " on which a program that slurm.conf names is missing is drained by its next job"
        )


def _say_unknown_site(facts: Facts, draft: Draft) -> None:
    draft.notes.append(f"slurm.conf is not changed: {facts.hands_off}")
    libexec = facts.places.libexec
    draft.by_hand += [
        f"Prolog={libexec}/prolog/slurm-guard-prolog",
        f"Epilog={libexec}/epilog/slurm-guard-epilog",
        f"TaskProlog={libexec}/prolog/slurm-guard-task-prolog",
        "PrologFlags=Alloc",
    ]
    if facts.version is None or facts.version < LISTS:
        draft.notes.append(
            "where the site has a Prolog or Epilog of its own, do not add a second line (docs/install.md)"
        )


def _plan_actions(facts: Facts, draft: Draft) -> None:
    places = facts.places
    if not places.is_live:
        where = "a staged image" if places.root is not None else "a prefix"
        draft.notes.append(f"{where}: no account is made and no service started")
        return
    node, head = facts.role in ("node", "all"), facts.role in ("head", "all")
    if facts.systemd:
        draft.actions += _systemd_actions(node, head)
    else:
        draft.actions += _plain_actions(facts, node, head)
        if node:
            draft.notes.append("no systemd: the first job on a node starts its sampler")


def _systemd_actions(node: bool, head: bool) -> list[Action]:
    accounts = [f"/etc/sysusers.d/{name}.conf" for name in _names(node, head)]
    folders = [f"/etc/tmpfiles.d/{name}.conf" for name in _names(node, head)]
    found = [
        Action(("systemd-sysusers", *accounts), "accounts"),
        Action(("systemd-tmpfiles", "--create", *folders), "folders"),
        Action(("systemctl", "daemon-reload"), "the units", ("systemctl", "daemon-reload")),
    ]
    if node:
        stop = ("systemctl", "disable", "--now", SERVICE)
        found.append(Action(("systemctl", "enable", "--now", SERVICE), "the sampler", stop))
    if head:
        stop = ("systemctl", "disable", "--now", TIMER)
        found.append(Action(("systemctl", "enable", "--now", TIMER), "the nightly audit", stop))
    return found


def _names(node: bool, head: bool) -> list[str]:
    return ["slurm-guard"] * node + ["slurm-guard-audit"] * head


def _plain_actions(facts: Facts, node: bool, head: bool) -> list[Action]:
    """Accounts and folders by the old tools. Accounts stay when it is taken off: files may be theirs."""
    state = str(facts.places.state)
    found = []
    if GROUP not in facts.accounts:
        found.append(Action(("groupadd", "--system", GROUP), "who may read the spool"))
    if node:
        found += _folder(facts, "spool", ("root", GROUP, 0o2750), "the spool, which the group may read")
    if head:
        if AUDITOR not in facts.accounts:
            nologin = "/usr/sbin/nologin"
            words = ("--system", "-M", "-U", "-d", state, "-s", nologin, "-G", GROUP, AUDITOR)
            found.append(Action(("useradd", *words), "the account of the audit"))
        for name in ("lake", "reports"):
            found += _folder(facts, name, (AUDITOR, AUDITOR, 0o750), name)
    return found


def _folder(facts: Facts, name: str, wanted: tuple[str, str, int], why: str) -> list[Action]:
    """None where it is as it is to be. `wanted`: owner, group, mode."""
    if facts.folders.get(name) == wanted:
        return []
    owner, group, mode = wanted
    words = ("-o", owner, "-g", group, "-m", f"{mode:o}", str(facts.places.state / name))
    return [Action(("install", "-d", *words), why)]


def settings_only(plan: Plan, paths: set[Path]) -> Plan:
    """Of a plan what an upgrade may touch: our own files, never the site's and never the configuration."""
    changes = tuple(
        change for change in plan.changes if not change.edit and not change.keep and change.path in paths
    )
    return Plan(plan.role, changes, (), (), ())
