"""The file of the site's words: added to by one at a time, believed only where nobody else could write it."""

import json
import multiprocessing
import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.memory import words
from slurm_guard.memory.speaker import find_speaker
from slurm_guard.memory.words import Book, Entry, Withdrawal, append, read_book
from slurm_guard.siteword import SiteWords
from tests.builders import World, run_of
from tests.unit.report.hostile import STRINGS
from tests.words import BY, disposition, exemption

RUN = run_of(World())
NASTY = [s for s in STRINGS if s.strip() and len(s) <= 1000]


def _say(path: Path, reason: str = "agreed", check: str = "reverse-tunnel") -> Entry:
    return append(path, lambda n, _: exemption(RUN, check, id=n, reason=reason))


def _exempt(n: int) -> Callable[[int, Book], Entry]:
    return lambda _, __: exemption(RUN, "x", id=n)


def test_what_was_said_is_read_back_with_rising_numbers(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "site-words.jsonl"

    said = [_say(path), append(path, lambda n, _: disposition(RUN, "right", "x", id=n)), _say(path)]

    assert [e.id for e in said] == [1, 2, 3]
    assert read_book(path) == Book(tuple(said))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    head = json.loads(path.read_text("ascii").splitlines()[0])
    assert head == {"k": "head", "kind": words.KIND, "format": words.FORMAT}


def test_where_nothing_was_said_nothing_holds(tmp_path: Path) -> None:
    assert read_book(tmp_path / "none").words() == SiteWords()


@pytest.mark.parametrize("nasty", NASTY, ids=lambda s: ascii(s[:24]))
def test_a_hostile_reason_is_one_line_and_comes_back_as_it_was(tmp_path: Path, nasty: str) -> None:
    path = tmp_path / "w"

    _say(path, nasty)
    _say(path)

    first, second = read_book(path).words().exemptions
    assert (first.reason, second.reason) == (nasty, "agreed")
    assert len(path.read_bytes().split(b"\n")) == 4
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in path.read_bytes())


def test_a_withdrawn_word_holds_no_longer_and_stays_in_the_book(tmp_path: Path) -> None:
    path = tmp_path / "w"
    _say(path)
    _say(path, "second")

    append(path, lambda n, _: Withdrawal(n, 0.0, BY, 1))

    book = read_book(path)
    assert [e.id for e in book.words().exemptions] == [2]
    assert [e.id for e in book.entries] == [1, 2, 3]
    assert [e.id for e in book.words(up_to=2).exemptions] == [1, 2]
    assert book.words(up_to=0) == SiteWords()


def test_the_last_disposition_of_a_run_holds(tmp_path: Path) -> None:
    path = tmp_path / "w"
    for word in ("right", "wrong"):
        append(path, lambda n, _, word=word: disposition(RUN, word, "x", id=n))  # type: ignore[misc]

    assert [d.word for d in read_book(path).words().dispositions] == ["wrong"]
    append(path, lambda n, _: Withdrawal(n, 0.0, BY, 2))
    assert [d.word for d in read_book(path).words().dispositions] == ["right"]


def test_a_torn_line_says_nothing_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "w"
    _say(path)
    whole = path.read_bytes()
    for cut in range(len(whole) - 60, len(whole)):
        path.write_bytes(whole[:cut])
        path.chmod(0o640)
        _say(path, "after the crash")

        book = read_book(path)

        # Cut by its newline alone it was whole, and is.
        lost = cut < len(whole) - 1
        reasons = [e.reason for e in book.words().exemptions]
        assert reasons == ([] if lost else ["agreed"]) + ["after the crash"]
        assert len(book.bad) == int(lost)


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[]",
        "7",
        '"exempt"',
        '{"k":"exempt"}',
        '{"k":"other","id":9}',
        '{"k":"withdraw","id":9,"said_at":NaN,"by":{"name":"a","uid":0,"login_uid":null},"of":1}',
        '{"k":"withdraw","id":1,"said_at":1.0,"by":{"name":"a","uid":0,"login_uid":null},"of":1}',
        '{"k":"withdraw","id":9,"said_at":1.0,"by":"root","of":1}',
        "[" * 20_000,
    ],
)
def test_a_line_that_is_no_word_is_counted_and_changes_nothing(tmp_path: Path, line: str) -> None:
    path = tmp_path / "w"
    said = _say(path)
    with path.open("a") as file:
        file.write(line + "\n")

    book = read_book(path)

    assert book.entries == (said,)
    assert len(book.bad) == 1
    assert book.bad[0].startswith("line 3: ")


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": "everybody"},
        {"checks": ()},
        {"reason": "x" * 1001},
        {"until_at": 1e999},
        {"hard": ["other"]},
    ],
    ids=str,
)
def test_what_no_release_wrote_is_not_believed(tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "w"
    _say(path)
    line = json.loads(path.read_text().splitlines()[1]) | {"id": 2} | changes
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")

    assert len(read_book(path).entries) == 1


def _many(path: str, who: int, n: int) -> None:
    for k in range(n):
        _say(Path(path), f"{who}/{k}")


def test_writers_at_once_lose_nothing_and_share_no_number(tmp_path: Path) -> None:
    path = tmp_path / "w"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_many, args=(str(path), who, 20)) for who in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)

    book = read_book(path)

    assert [w.exitcode for w in writers] == [0] * 6
    assert book.bad == ()
    assert [e.id for e in book.entries] == list(range(1, 121))
    assert {e.reason for e in book.words().exemptions} == {f"{w}/{k}" for w in range(6) for k in range(20)}


def test_what_may_not_be_added_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "w"
    _say(path)
    before = path.read_bytes()

    def refuse(_: int, __: Book) -> Entry:
        raise GuardError("words-unknown", "no")

    with pytest.raises(GuardError, match="words-unknown"):
        append(path, refuse)

    assert path.read_bytes() == before


def _full(path: str, pipe: int) -> None:
    """In a process of its own: files may grow by forty bytes more."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = Path(path).stat().st_size + 40
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        _say(Path(path), "too much")
    except GuardError as error:
        os.write(pipe, error.slug.encode())


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "w"
    _say(path)
    before = path.read_bytes()
    read, write = os.pipe()
    child = multiprocessing.get_context("fork").Process(target=_full, args=(str(path), write))
    child.start()
    child.join(60)
    os.close(write)

    assert os.read(read, 100) == b"words-unwritable"
    assert path.read_bytes() == before
    os.close(read)


@pytest.mark.parametrize("mode", [0o660, 0o646, 0o602])
def test_a_file_that_others_may_write_is_not_believed(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "w"
    _say(path)
    path.chmod(mode)

    with pytest.raises(GuardError, match="words-unsafe"):
        read_book(path)
    with pytest.raises(GuardError, match="words-unsafe"):
        _say(path)


def test_a_link_or_pipe_in_its_place_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe", 0o600)

    for name, slug in (("link", "words-unreadable"), ("pipe", "words-unsafe")):
        with pytest.raises(GuardError, match=slug):
            read_book(tmp_path / name)
    for name, slug in (("link", "words-unwritable"), ("pipe", "words-unsafe")):
        with pytest.raises(GuardError, match=slug):
            _say(tmp_path / name)


@pytest.mark.root
def test_a_file_of_somebody_else_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "w"
    _say(path)
    os.chown(path, 4242, 4242)

    with pytest.raises(GuardError, match="words-unsafe"):
        read_book(path)


@pytest.mark.root
def test_what_root_begins_belongs_to_the_folders_owner(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    os.chown(folder, 4242, 4243)

    _say(folder / "w")

    assert ((folder / "w").stat().st_uid, (folder / "w").stat().st_gid) == (4242, 4243)
    assert len(read_book(folder / "w").entries) == 1


@pytest.mark.parametrize(
    ("content", "slug"),
    [
        (b'{"k":"head","kind":"slurm-guard site words","format":2}\n', "words-newer"),
        (b"a diary\n", "words-unreadable"),
        (b"\xff\xfe", "words-unreadable"),
    ],
)
def test_a_file_of_another_kind_or_release_is_refused(tmp_path: Path, content: bytes, slug: str) -> None:
    path = tmp_path / "w"
    path.write_bytes(content)
    path.chmod(0o640)

    with pytest.raises(GuardError, match=slug):
        read_book(path)
    with pytest.raises(GuardError, match=slug):
        append(path, _exempt(1))
    assert path.read_bytes() == content


def test_the_speaker_is_the_person_behind_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login = tmp_path / "loginuid"
    login.write_text("1007")

    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert find_speaker({"SUDO_USER": "ann"}, login).name == "ann"
    assert find_speaker({}, login).name == "root"
    assert find_speaker({}, login).login_uid == 1007
    monkeypatch.setattr(os, "getuid", lambda: 12_345_678)
    login.write_text("4294967295")
    said = find_speaker({"SUDO_USER": "somebody else"}, login)
    assert (said.name, said.uid, said.login_uid) == ("uid 12345678", 12_345_678, None)
