"""slurm.conf's lines, for many shapes of a site and every version."""

from pathlib import Path

import pytest

from slurm_guard.install.blocks import put_in
from slurm_guard.install.change import Places
from slurm_guard.install.conflines import Lines, plan_lines
from slurm_guard.slurm.conf import SlurmConf, read_slurm_conf

MAIN = Path("/etc/slurm/slurm.conf")
OURS = "/usr/libexec/slurm-guard"
PROLOG, EPILOG = f"{OURS}/prolog/slurm-guard-prolog", f"{OURS}/epilog/slurm-guard-epilog"
TASK = f"{OURS}/prolog/slurm-guard-task-prolog"
SINGLE = [(22, 5), (23, 2), (23, 11), (0, 0)]
LISTS = [(24, 5), (24, 11), (25, 5), (25, 11), (26, 5)]


def read(text: bytes, others: dict[str, bytes] | None = None) -> SlurmConf:
    files = {MAIN: text, **{MAIN.parent / name: body for name, body in (others or {}).items()}}
    return read_slurm_conf(MAIN, lambda path: files[path])


def plan(conf: SlurmConf, version: tuple[int, int], texts: dict[str, bytes] | None = None) -> Lines:
    return plan_lines(Lines(conf, version, Places(), texts or {}), True)


def after(conf: SlurmConf, lines: Lines) -> SlurmConf:
    """slurm.conf as it is read when the edits are in it."""
    texts = {
        path: put_in(text, [edit for there, edit in lines.edits if there == path], conf.newline(path))
        for path, text in conf.texts.items()
    }
    return read_slurm_conf(MAIN, lambda path: texts[path])


@pytest.mark.parametrize("version", SINGLE + LISTS)
@pytest.mark.parametrize(
    "text", [b"", b"ClusterName=a\n", b"ClusterName=a", b"A=1\r\nB=2\r\n", b"#Prolog=/x\n"]
)
def test_a_site_without_hooks_gets_plain_lines(text: bytes, version: tuple[int, int]) -> None:
    conf = read(text)

    new = after(conf, plan(conf, version))

    assert new.values("Prolog") == (PROLOG,)
    assert new.values("Epilog") == (EPILOG,)
    assert new.values("TaskProlog") == (TASK,)
    assert (new.last("PrologFlags"), new.last("PrologEpilogTimeout")) == ("Alloc", "30")
    assert new.problems == ()
    assert new.has_crlf(MAIN) == conf.has_crlf(MAIN)


@pytest.mark.parametrize("version", SINGLE)
@pytest.mark.parametrize(
    ("text", "site"),
    [
        (b"Prolog=/s/p.sh\n", "/s/p.sh"),
        (b"pRoLoG = /s/p.sh # why\n", "/s/p.sh"),
        (b'Prolog="/s/a b"\n', "/s/a b"),
        (b"Prolog=/s/\\\np.sh\nX=1\n", "/s/p.sh"),
        (b"Prolog=/s/p.sh", "/s/p.sh"),
        (b"Prolog=/old\r\nProlog=/s/p.sh\r\n", "/s/p.sh"),  # the last one is the site's
        (b"Prolog=/s/it's\n", "/s/it's"),
    ],
)
def test_up_to_23_11_a_sites_program_is_called_by_ours(
    text: bytes, site: str, version: tuple[int, int]
) -> None:
    conf = read(text)

    lines = plan(conf, version)

    new = after(conf, lines)
    assert new.last("Prolog") == f"{OURS}/site/prolog"
    assert len(new.values("Prolog")) == len(conf.values("Prolog"))
    (program,) = [change for change in lines.programs if change.path.name == "prolog"]
    quoted = "'" + site.replace("'", "'\\''") + "'"
    assert program.content is not None
    assert f'\nexec {quoted} "$@"\n'.encode() in program.content
    assert new.last("PrologEpilogTimeout") is None  # no new limit for the site's own program


@pytest.mark.parametrize("version", LISTS)
@pytest.mark.parametrize("text", [b"Prolog=/s/p.sh\nX=1\n", b"Prolog=/s/d/*\nProlog=/s/p\n"])
def test_from_24_05_on_ours_is_one_more_line_before_the_sites(text: bytes, version: tuple[int, int]) -> None:
    conf = read(text)

    new = after(conf, plan(conf, version))

    assert new.values("Prolog") == (PROLOG, *conf.values("Prolog"))


@pytest.mark.parametrize("version", SINGLE)
@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*", "zz-slurm-guard"),
        ("*.sh", "zz-slurm-guard.sh"),
        ("p-*", "p-zz-slurm-guard"),
        ("[0-9]*", "99-zz-slurm-guard"),
        ("[0-9][0-9]-*.sh", "99-zz-slurm-guard.sh"),
    ],
)
def test_up_to_23_11_a_folder_of_the_sites_gets_one_program(
    pattern: str, name: str, version: tuple[int, int]
) -> None:
    conf = read(f"Prolog=/s/prolog.d/{pattern}\n".encode())

    lines = plan(conf, version)

    assert after(conf, lines).values("Prolog") == conf.values("Prolog")
    assert [change.path for change in lines.programs] == [Path("/s/prolog.d", name)]


@pytest.mark.parametrize("text", [b"Prolog=p.sh\n", b"Prolog=/s/*.d/x\n", b"Prolog=/s/x[12]\n"])
def test_what_cannot_be_joined_is_left_and_said(text: bytes) -> None:
    conf = read(text)

    lines = plan(conf, (23, 11))

    assert after(conf, lines).values("Prolog") == conf.values("Prolog")
    assert any(line.startswith(f"{PROLOG} || :") for line in lines.by_hand)


@pytest.mark.parametrize("version", SINGLE + LISTS)
@pytest.mark.parametrize("value", ["/s/t.sh", "t.sh", "./t.sh"])
def test_a_task_prolog_of_the_sites_is_joined_in_every_version(value: str, version: tuple[int, int]) -> None:
    conf = read(f"TaskProlog={value}\n".encode())

    lines = plan(conf, version)

    assert after(conf, lines).values("TaskProlog") == (f"{OURS}/site/task-prolog",)
    (program,) = lines.programs
    assert f"exec '{value}'".encode() in (program.content or b"")


def test_a_task_prolog_below_a_folder_of_the_path_is_left() -> None:
    lines = plan(read(b"TaskProlog=sub/t.sh\n"), (22, 5))

    assert lines.programs == []
    assert any("TaskProlog=sub/t.sh is left" in note for note in lines.notes)


@pytest.mark.parametrize(
    ("flags", "version", "new"),
    [
        ("Alloc", (22, 5), "Alloc"),
        ("contain", (22, 5), "contain"),
        ("X11,Serial", (22, 5), "X11,Serial"),
        ("NoHold", (22, 5), "NoHold"),
        ("Serial", (22, 5), "Serial,Alloc"),
        ("DeferBatch", (25, 11), "DeferBatch,Alloc"),
        ("DeferBatch", (26, 5), "DeferBatch"),
        ("ForceRequeueOnFail", (23, 2), "ForceRequeueOnFail"),
        ("RunInJob", (24, 5), "RunInJob"),
        ("Serial", (0, 0), "Serial,Alloc"),
        ("Contain", (0, 0), "Contain"),
    ],
)
def test_prolog_flags_keep_what_is_there(flags: str, version: tuple[int, int], new: str) -> None:
    conf = read(f"PrologFlags=Contain\nPrologFlags={flags} # mind\n".encode())

    assert after(conf, plan(conf, version)).values("PrologFlags") == ("Contain", new)


@pytest.mark.parametrize(
    ("text", "timeout"),
    [
        (b"", "30"),
        (b"PrologEpilogTimeout=99\n", "99"),
        (b"PrologTimeout=5\nEpilogTimeout=6\n", None),
        (b"PrologTimeout=5\n", "30"),
        (b"PrologSlurmctld=/s/c\n", None),
        (b"Epilog=/s/e\n", None),
    ],
)
def test_a_limit_is_set_only_where_nothing_of_the_sites_runs_under_it(
    text: bytes, timeout: str | None
) -> None:
    conf = read(text)

    assert after(conf, plan(conf, (25, 11))).last("PrologEpilogTimeout") == timeout


def test_edits_are_made_in_the_file_in_which_the_line_stands() -> None:
    conf = read(b"Include a.conf\nB=1\n", {"a.conf": b"Prolog=/s/p\r\nPrologFlags=Serial\r\n"})

    lines = plan(conf, (23, 11))

    places = {(path.name, edit.number) for path, edit in lines.edits}
    assert places == {("a.conf", 1), ("a.conf", 2), ("slurm.conf", 0)}
    assert after(conf, lines).last("PrologFlags") == "Serial,Alloc"


@pytest.mark.parametrize("version", [(22, 5), (24, 11)])
@pytest.mark.parametrize("text", [b"", b"Prolog=/s/p\nTaskProlog=/s/t\nEpilog=/s/d/*\nPrologFlags=Serial\n"])
def test_a_second_time_changes_nothing_and_still_knows_the_sites_programs(
    text: bytes, version: tuple[int, int]
) -> None:
    conf = read(text)
    first = plan(conf, version)
    texts = {"/s/d/*": b"calls slurm-guard-epilog"}

    second = plan(after(conf, first), version, texts)

    assert second.edits == []
    calls = {change.path: change.content for change in first.programs if "site" in change.path.parts}
    assert {change.path: change.content for change in second.programs} == calls


def test_a_site_that_calls_us_already_is_left_alone() -> None:
    conf = read(b"Prolog=/s/p\nEpilog=/s/e\n")
    texts = {"/s/p": b"x/slurm-guard-prolog || :", "/s/e": b"y/slurm-guard-epilog"}

    lines = plan(conf, (22, 5), texts)

    assert lines.programs == []
    assert after(conf, lines).values("Prolog") == ("/s/p",)
