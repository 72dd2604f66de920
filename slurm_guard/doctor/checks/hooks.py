"""The lines that name our hooks, and the files that slurmd really runs for them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

from slurm_guard.doctor.checks.values import LISTS_SINCE, name, slurm_user, version
from slurm_guard.doctor.facts import Facts, HookFile, HookLine, Unsafe
from slurm_guard.doctor.finding import BOTH, NODE, Check, Said, problem, seen, unseen, warning
from slurm_guard.doctor.fromhooks import KEYS
from slurm_guard.slurm.conf import SlurmConf

_LIBEXEC = "/usr/libexec/slurm-guard"
_PATHS = {
    "Prolog": f"{_LIBEXEC}/prolog/slurm-guard-prolog",
    "Epilog": f"{_LIBEXEC}/epilog/slurm-guard-epilog",
    "TaskProlog": f"{_LIBEXEC}/prolog/slurm-guard-task-prolog",
}
_HARM = {
    "Prolog": "the node is drained at the next job",
    "Epilog": "the node is drained at the next job's end",
    "TaskProlog": "tasks fail",
}


def own(unsafe: Unsafe) -> str:
    """The command that makes a file or a folder root's alone to write."""
    return f"chown root:root {quote(unsafe.path)} && chmod go-w {quote(unsafe.path)}"


def _effective(facts: Facts, key: str) -> list[HookLine]:
    """The lines that hold: the last alone, where Slurm keeps one value."""
    lines = [line for line in seen(facts.hooks) if line.key == key]
    release = version(facts)
    single = key == "TaskProlog" or (release is not None and release < LISTS_SINCE)
    return lines[-1:] if single else lines


def _named(key: str) -> "Check":
    def find(facts: Facts) -> Iterator[Said]:
        lines = _effective(facts, key)
        said = warning if key == "TaskProlog" else problem
        if not lines:
            yield said(_MISSING[key], f"{key}={_PATHS[key]}   # in slurm.conf, then: scontrol reconfigure")
            return
        files = [file for line in lines for file in line.files]
        if any(file.ours for file in files):
            return
        dark = [file.path for file in files if file.ours is None or not file.exists]
        if dark or not files:
            where = dark[0] if dark else lines[0].value
            yield unseen(
                f"whether {key}={lines[-1].value} runs our hook cannot be seen here: {where} is not readable",
                "slurm-guard doctor --role node   # on a node, as root",
            )
            return
        yield said(f"{key}={lines[-1].value} does not run our hook", _call(lines, key))

    return Check(
        f"{key.lower().replace('taskprolog', 'task-prolog')}-hook",
        f"`{key}=` runs our hook: by its name, a link, a glob, run-parts, or a script that calls it",
        _WHY[key],
        f"`{key}={_PATHS[key]}`, or a call in the site's own script",
        BOTH,
        f"{key} runs our hook",
        find,
        "run it as root on a node, where the files of slurm.conf lie",
    )


def _call(lines: Sequence[HookLine], key: str) -> str:
    line = lines[-1]
    if line.glob:
        return f"ln -s {_PATHS[key]} {line.value.rpartition('/')[0]}/"
    script = next((file.script for file in line.files if not file.inner), True)
    return (
        _combined(line.value, _PATHS[key])
        if script
        else f"{key}=…   # a script: {line.value} && {_PATHS[key]}"
    )


def _combined(one: str, other: str) -> str:
    """The line that lets the site's script run both; ours is a package's file, and stays as it is."""
    mine, sites = (one, other) if Path(one).name in KEYS.values() else (other, one)
    return f"{mine} || :   # as a line of {sites}"


_MISSING = {
    "Prolog": "no Prolog= line runs our hook, so that every run is without a ticket",
    "Epilog": "no Epilog= line runs our hook, so that ends and what is left over stay unseen",
    "TaskProlog": "no TaskProlog= line runs our hook, so that jobs have no SLURM_GUARD_PROGRESS",
}
_WHY = {
    "Prolog": "Without it a run has no ticket: no intent, no GPUs, no network before it, all unobserved.",
    "Epilog": "Without it nobody looks at what a job leaves on the node and in the network.",
    "TaskProlog": "Without it jobs have no `SLURM_GUARD_PROGRESS`; other logs are read all the same.",
}


def _second_line(facts: Facts) -> Iterator[Said]:
    if not isinstance(facts.conf, SlurmConf):
        seen(facts.conf)
        return
    release = version(facts)
    for key in KEYS:
        lines = facts.conf.lines_of(key)
        if len(lines) < 2:
            continue
        if key != "TaskProlog" and release is None:
            yield unseen(f"slurm.conf has {len(lines)} lines {key}=, and Slurm's version is not known")
        elif key == "TaskProlog" or (release is not None and release < LISTS_SINCE):
            lost, holds = lines[-2], lines[-1]
            until = "" if key == "TaskProlog" else f" (Slurm {name(LISTS_SINCE)} is the first that runs both)"
            yield problem(
                f"{holds.path}:{holds.number} replaces line {lost.number}'s {key}={lost.value}, "
                f"which is not run any more{until}",
                f"{_combined(lost.value, holds.value)}, whose {key}= is then the only one",
            )


def _globs(facts: Facts) -> Iterator[Said]:
    for line in (line for line in seen(facts.hooks) if line.glob):
        matched = [file for file in line.files if not file.inner]
        if not matched:
            yield problem(
                f"{line.key}={line.value} matches no file: {_HARM[line.key]}",
                f"ln -s {_PATHS[line.key]} {line.value.rpartition('/')[0]}/",
            )
        for file in matched:
            if file.exists and not (file.executable and file.regular):
                yield problem(
                    f"{line.key}={line.value} matches {file.path}, which cannot be run: {_HARM[line.key]}",
                    f"mv {quote(file.path)} {quote(str(Path(file.path).parent.parent))}/",
                )


def _files(facts: Facts) -> Iterator[Said]:
    told = set()
    slurm_uid = slurm_user(facts)
    for line in seen(facts.hooks):
        for file in line.files:
            if file.path not in told:
                told.add(file.path)
                yield from _file(line, file, slurm_uid)


def _file(line: HookLine, file: HookFile, slurm_uid: str) -> Iterator[Said]:
    named = f"{line.key}={line.value} calls {file.path}" if file.inner else f"{line.key} is {file.path}"
    if not file.path.startswith("/"):
        yield unseen(
            f"{named}, which is no full path: Slurm looks for it beside slurm.conf, from 23.11 on",
            f"{line.key}=/…/{file.path}   # the full path, in slurm.conf",
        )
    elif not file.exists:
        harm = "our hook does not run" if file.inner and file.ours else _HARM[line.key]
        yield problem(
            f"{named}, which is not there: {harm}",
            f"ls -l {quote(file.path)}   # install it, or take the line out and: scontrol reconfigure",
        )
    elif not (file.regular and file.executable):
        if not line.glob or file.inner:
            yield problem(f"{named}, which cannot be run: {_HARM[line.key]}", f"chmod 755 {quote(file.path)}")
    elif line.key == "TaskProlog" and not file.world_runs:
        yield problem(
            f"{named}, which users may not run: tasks fail, for it runs as each of them",
            f"chmod o+rx {quote(file.path)}   # and o+x its folders",
        )
    # Who writes slurm.conf decides what root runs anyway, and at many sites is SlurmUser.
    for unsafe in [one for one in file.unsafe if one.why != f"belongs to uid {slurm_uid}"][:1]:
        yield problem(
            f"{unsafe.path} {unsafe.why}, and decides what {line.key} runs as "
            f"{'each user' if line.key == 'TaskProlog' else 'root'}",
            own(unsafe),
        )


def _kills(facts: Facts) -> Iterator[Said]:
    told = set()
    for line in seen(facts.hooks):
        for file in line.files:
            if file.kills and file.path not in told:
                told.add(file.path)
                yield warning(
                    f"{file.path} may end the sampler with what is root's: {file.kills}",
                    '[ "$SLURM_JOB_UID" -ge 1000 ] || exit 0   # before that line',
                )
    dark = [f.path for line in seen(facts.hooks) for f in line.files if f.exists and f.ours is None]
    if dark and not told:
        yield unseen(f"what {dark[0]} ends cannot be seen: it is no readable text")


CHECKS = (
    *(_named(key) for key in KEYS),
    Check(
        "second-line",
        "a second `Prolog=` or `Epilog=` line up to 23.11, a second `TaskProlog=` in any release",
        "Slurm then keeps the last line and says so in a log alone: the site's own prolog is gone.",
        "one line, whose script calls the other program",
        BOTH,
        "no line of slurm.conf replaces another hook",
        _second_line,
        "run it where slurm.conf lies, or name it with --slurm-conf",
    ),
    Check(
        "hook-globs",
        "globs of hooks: what they match can be run, and there is something",
        "A README beside the scripts, or a folder that was emptied, drains every node at its next job.",
        "take out what is no program; link our hook there",
        NODE,
        "every glob of hooks matches programs alone",
        _globs,
    ),
    Check(
        "hook-files",
        "the hooks' files and all their folders: there, executable, root's, written by nobody else",
        "Root runs them on every node; a program that is gone drains it.",
        "`chown root:root`, `chmod go-w`, `chmod 755`",
        NODE,
        "the hooks are there, can be run, and are root's alone to write",
        _files,
    ),
    Check(
        "site-kills",
        "scripts of the site that end processes by name, or of whoever owns the job, root too",
        "The sampler is a process of root's: `killall -u` at the end of root's own job ends it.",
        "leave out users below 1000",
        NODE,
        "no script of the site ends what is not the job's",
        _kills,
        "run it as root, who may read the site's scripts",
    ),
)
