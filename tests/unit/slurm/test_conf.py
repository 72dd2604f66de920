"""slurm.conf as Slurm's parser reads it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.slurm.conf import SlurmConf, read_slurm_conf

MAIN = Path("/etc/slurm/slurm.conf")


def read(
    text: bytes, others: Mapping[str, bytes] | None = None, version: tuple[int, int] | None = None
) -> SlurmConf:
    files = {MAIN: text, **{MAIN.parent / name: body for name, body in (others or {}).items()}}

    def open_text(path: Path) -> bytes:
        try:
            return files[path]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", str(path)) from None

    return read_slurm_conf(MAIN, open_text, version)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"Prolog=/a\n", "/a"),
        (b"prolog = /a", "/a"),
        (b"  PROLOG=/a  # why\n", "/a"),
        (b"Prolog=/a\r\n", "/a"),
        (b'Prolog="/a b"\n', "/a b"),
        (b'Prolog=""\n', ""),
        (b'Prolog="/a"b\n', '"/a"b'),
        (b'Prolog="/a # b"\n', '"/a'),  # the comment is taken off first, quotes or not
        (b"Prolog=/a\\#b\n", "/a#b"),
        (b"Prolog=/a\\\\#b\n", "/a\\"),
        (b"Prolog=/a\\\n/b\n", "/a/b"),
        (b"Prolog=/a\\  \r\n/b\r\n", "/a/b"),
        (b"Prolog=\\\n   /b\n", "/b"),
        (b"Prolog=/a \\# no\n", "/a"),
        (b"Prolog=/a\\", "/a"),
        (b"# x \\\nProlog=/a\n", "/a"),  # a comment does not go on
        (b"Prolog=/a\nPROLOG=/b\n", "/b"),
        (b"Prolog=/\xe4\xff\n", "/\udce4\udcff"),
        (b"Prolog=\n", None),
        (b"Prolog\n", None),
        (b"#Prolog=/a\n", None),
        (b"", None),
    ],
)
def test_last_value_as_slurm_reads_it(text: bytes, value: str | None) -> None:
    assert read(text).last("Prolog") == value


def test_a_line_that_goes_on_keeps_its_bytes_and_the_first_number() -> None:
    text = b"# top\n\nProlog=/a\\\n/b # c\nEpilog=/c"

    prolog, epilog = read(text).lines

    assert (prolog.number, prolog.raw, prolog.n_lines) == (3, b"Prolog=/a\\\n/b # c\n", 2)
    assert (epilog.number, epilog.raw, epilog.n_lines) == (5, b"Epilog=/c", 1)


@pytest.mark.parametrize(
    ("version", "values"), [((22, 5), ("/1", "/2", "/3", "/4")), ((23, 2), ("/1", "/2", "/main", "/4"))]
)
def test_includes_are_read_where_they_stand(version: tuple[int, int], values: tuple[str, ...]) -> None:
    text = b"Prolog=/1\nINCLUDE sub/a.conf\nProlog=/4\n"
    others = {
        "sub/a.conf": b"Prolog=/2\nInclude b.conf",
        "sub/b.conf": b"Prolog=/3\n",
        "b.conf": b"Prolog=/main\n",
    }

    conf = read(text, others, version)

    assert conf.values("prolog") == values
    assert [path.name for path in conf.files] == ["slurm.conf", "a.conf", "b.conf"]
    assert [line.path.name for line in conf.lines_of("Prolog")][1:3] == ["a.conf", "b.conf"]


def test_percent_c_in_an_include_is_the_clusters_name_in_small_letters() -> None:
    conf = read(b"ClusterName=Alpha\nInclude nodes-%c.conf\n", {"nodes-alpha.conf": b"NodeName=n1\n"})

    assert conf.last("NodeName") == "n1"


@pytest.mark.parametrize(
    ("text", "others", "says"),
    [
        (b"A=1\nInclude gone.conf\n", {}, "slurm.conf:2 includes /etc/slurm/gone.conf, which cannot be read"),
        (b"Include slurm.conf\n", {}, "includes itself"),
        (b"Include x\n", {"x": b"include y\n", "y": b"include x\n"}, "y:1 includes /etc/slurm/x"),
        (b"Include %c.conf\n", {}, "before any ClusterName"),
        (b"Include x\n" * 300, {"x": b""}, "more than 256 files"),
    ],
)
def test_includes_that_slurm_could_not_follow_are_said(
    text: bytes, others: dict[str, bytes], says: str
) -> None:
    with pytest.raises(GuardError) as caught:
        read(text, others)

    assert caught.value.slug == "slurm-conf-include"
    assert says in caught.value.sentence


@pytest.mark.parametrize(
    ("text", "n_problems"),
    [
        (b"NodeName=n1 CPUs=4\n", 0),
        (b"FutureName=n1 CPUs=4\n", 0),  # fields: which keys have them is Slurm's to know
        (b"Prolog=/a Epilog=/b\n", 1),
        (b"taskprolog=/a SlurmdDebug=info\n", 1),
        (b"ClusterName=a PrologFlags=Alloc\n", 1),
        (b"Prolog=/a # Epilog=/b\n", 0),
        (b"Prolog=/a b\n", 1),
        (b"  Include x\n", 1),
        (b"<<<<<<< HEAD\n", 1),
        (b"Include x", 1),
        (b"Include x\n", 0),
        (b"Include x#c\n", 0),
        (b"\xef\xbb\xbfProlog=/a\n", 1),
        (b"Prolog=\n", 1),
        (b"   \t\r\n\n# x\n", 0),
    ],
)
def test_lines_that_slurm_refuses_are_problems(text: bytes, n_problems: int) -> None:
    assert len(read(text, {"x": b""}).problems) == n_problems


def test_fields_of_a_node_line() -> None:
    (line,) = read(b'NodeName=n[1-2] Gres=gpu:h100:4 \\\n  Comment="a b" State=UNKNOWN\n').lines

    assert line.fields() == {
        "nodename": "n[1-2]",
        "gres": "gpu:h100:4",
        "comment": "a b",
        "state": "UNKNOWN",
    }


def test_newlines_of_each_file() -> None:
    conf = read(b"A=1\r\nB=2\r\nC=3\nInclude x\r\n", {"x": b"D=4\n"})

    assert (conf.newline(MAIN), conf.newline(MAIN.parent / "x")) == (b"\r\n", b"\n")
    assert (conf.has_crlf(MAIN), conf.has_crlf(MAIN.parent / "x")) == (True, False)


def test_operators_are_kept() -> None:
    (line,) = read(b"PrologFlags+=Alloc\n").lines

    assert (line.key, line.operator, line.value) == ("PrologFlags", "+", "Alloc")


def test_missing_and_odd_files_are_said(tmp_path: Path) -> None:
    (tmp_path / "nul").write_bytes(b"A=1\0\n")
    for path, slug in (
        (tmp_path / "none", "slurm-conf-missing"),
        (tmp_path, "slurm-conf-unreadable"),
        (tmp_path / "nul", "slurm-conf-unreadable"),
    ):
        with pytest.raises(GuardError) as caught:
            read_slurm_conf(path)

        assert caught.value.slug == slug
