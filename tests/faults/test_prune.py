"""Drop folders: bounded, the oldest ingested files first, and never one that is not in the lake."""

import errno
import os
import time
from pathlib import Path

import pytest

from slurm_guard import wire
from slurm_guard.lake.ingest import collect
from slurm_guard.lake.prune import NAME, Bounds, prune, read_acks, read_pruned
from slurm_guard.lake.ship import Finished, finished, push
from tests.faults.shipping import ask, fill, ssh_serving
from tests.spools import NODE, RUN, make, put, segment, tree

DAY_S = 86_400.0
ALL = Bounds(0, 0.0)  # whatever is older than now
FAR = time.time() + 400 * DAY_S


def _drop(tmp_path: Path) -> Path:
    """A drop folder with what a node has finished."""
    fill(tmp_path / "spool")
    push(tmp_path / "spool" / NODE, NODE, tmp_path / "drop")
    return tmp_path / "drop" / NODE


def _age(folder: Path, days: dict[str, float]) -> None:
    for one in finished(folder):
        at = time.time() - next((d for word, d in days.items() if word in one.name), 0.0) * DAY_S
        os.utime(folder / one.kind / one.name, (at, at))


def test_files_of_one_moment_go_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = _drop(tmp_path)
    for one in finished(folder):
        os.utime(folder / one.kind / one.name, (1.0, 1.0))
    by_name = sorted(finished(folder), key=lambda one: one.line)

    prune(folder, set(by_name), Bounds(sum(one.size for one in by_name) - 1, 1e12))

    assert set(finished(folder)) == set(by_name[1:])


def test_what_was_not_ingested_stays_whatever_the_bounds(tmp_path: Path) -> None:
    folder = _drop(tmp_path)
    before = tree(folder)

    done = prune(folder, set(), Bounds(1, 0.0), FAR)

    assert tree(folder) == before
    assert (done.n, done.waiting_b, done.over(Bounds(1, 0.0))) == (0, done.left_b, True)


def test_the_oldest_ingested_go_until_the_rest_fits(tmp_path: Path) -> None:
    folder = _drop(tmp_path)
    all_of_it = finished(folder)
    sealed = [one for one in all_of_it if one.kind == "sealed"]
    _age(folder, {".000000.": 3.0, ".000001.": 2.0, ".000002.": 1.0})
    total = sum(one.size for one in all_of_it)

    done = prune(folder, set(all_of_it), Bounds(total - sealed[0].size - 1, 1e9))

    assert [one for one in all_of_it if one not in finished(folder)] == sealed[:2]
    assert set(read_pruned(folder)) == set(sealed[:2])
    assert done.n == 2


def test_a_file_of_another_size_than_was_ingested_is_not_that_file(tmp_path: Path) -> None:
    folder = _drop(tmp_path)
    others = {Finished(one.kind, one.name, one.size + 1) for one in finished(folder)}

    assert prune(folder, others, ALL, FAR).n == 0


def test_a_pull_does_not_fetch_again_what_was_pruned(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    ask(tmp_path, ssh_serving(tmp_path, spool))
    drop = tmp_path / "drop"
    first = collect([drop], tmp_path / "lake", (drop, Bounds(0, -1.0)))
    lake = tree(tmp_path / "lake" / "v1" / "windows")

    again = ask(tmp_path, ssh_serving(tmp_path, spool))
    second = collect([drop], tmp_path / "lake", (drop, Bounds(0, -1.0)))

    assert [(node, done.n) for node, done in first.pruned] == [(NODE, first.n_new)]
    assert finished(drop / NODE) == []
    assert (again.n_new, again.failure) == (0, None)
    assert (second.n_new, second.refused, second.pruned) == (0, (), ())
    assert tree(tmp_path / "lake" / "v1" / "windows") == lake


def test_other_content_under_a_pruned_name_is_still_noticed(tmp_path: Path) -> None:
    spool, drop = tmp_path / "spool", tmp_path / "drop"
    fill(spool, n=1)
    ask(tmp_path, ssh_serving(tmp_path, spool))
    collect([drop], tmp_path / "lake", (drop, Bounds(0, -1.0)))
    name, _ = segment([make(wire.Window, run=RUN)], seq=0)

    put(drop, "sealed", *segment([], seq=0))
    report = collect([drop], tmp_path / "lake", (drop, Bounds(0, 1e9)))

    assert [(refused.slug, Path(refused.path).name) for refused in report.refused] == [("changed", name)]


def test_a_push_prunes_what_the_collector_says_it_has_and_sends_it_no_more(tmp_path: Path) -> None:
    folder = _drop(tmp_path)
    (folder / "collected").mkdir()
    collect([tmp_path / "drop"], tmp_path / "lake")

    done = prune(folder, read_acks(folder), ALL, FAR)
    sent = push(tmp_path / "spool" / NODE, NODE, tmp_path / "drop", read_pruned(folder))

    assert done.n == len(finished(tmp_path / "spool" / NODE))
    assert finished(folder) == []
    assert (sent.n_new, sent.n_known) == (0, done.n)


def test_without_the_collectors_word_a_push_prunes_nothing(tmp_path: Path) -> None:
    folder = _drop(tmp_path)
    collect([tmp_path / "drop"], tmp_path / "lake")

    assert prune(folder, read_acks(folder), ALL, FAR).n == 0


def test_another_spool_than_the_drop_folder_is_never_pruned(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    before = tree(spool)

    collect([spool], tmp_path / "lake", (tmp_path / "drop", Bounds(0, -1.0)))

    assert tree(spool) == before


@pytest.mark.parametrize("kind", ["sealed", "tickets"])
def test_a_link_in_a_folders_place_is_not_followed(tmp_path: Path, kind: str) -> None:
    folder = _drop(tmp_path)
    victim = tmp_path / "victim"
    (folder / kind).rename(victim)
    (folder / kind).symlink_to(victim)
    names = {Finished(kind, path.name, path.stat().st_size) for path in victim.iterdir()}

    prune(folder, names, ALL, FAR)

    assert len(list(victim.iterdir())) == len(names)


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe\n",
        b"x sealed/a.jsonl 1\n",
        b"99999999999999 sealed/a.jsonl 1\n",
        b"1 ../../etc/passwd 1\n",
        b"1 sealed/../../x.jsonl 1\n",
        b"1 sealed/" + b"a" * 4096 + b".jsonl 1\n",
        b"1 sealed/a.jsonl",
    ],
)
def test_a_list_that_is_none_is_no_memory(tmp_path: Path, text: bytes) -> None:
    folder = _drop(tmp_path)
    (folder / NAME).write_bytes(text)

    assert read_pruned(folder) == {}
    assert prune(folder, set(finished(folder)), ALL, FAR).n > 0


def test_a_planted_list_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    folder = _drop(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("keep")
    (folder / NAME).symlink_to(secret)

    prune(folder, set(finished(folder)), ALL, FAR)

    assert secret.read_text() == "keep"
    assert not (folder / NAME).is_symlink()


def test_what_goes_is_written_down_before_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _drop(tmp_path)
    ingested = set(finished(folder))

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "unlink", fail)
    with pytest.raises(OSError, match="Input/output"):
        prune(folder, ingested, ALL, FAR)

    assert set(read_pruned(folder)) == ingested
    assert set(finished(folder)) == ingested


@pytest.mark.parametrize(("n_first", "number"), [(1, errno.ENOSPC), (2, errno.EDQUOT)])
def test_on_a_full_disk_files_go_before_the_list_until_it_has_room(
    n_first: int, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _drop(tmp_path)
    ingested = set(finished(folder))
    left: list[int] = []

    def sync(_: int) -> None:
        left.append(len(finished(folder)))
        if left[-1] > len(ingested) - n_first:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", sync)
    done = prune(folder, ingested, ALL, FAR)

    assert left == [len(ingested) - n for n in range(n_first + 1)]
    assert (done.n, set(read_pruned(folder)), finished(folder)) == (len(ingested), ingested, [])


def test_a_disk_that_stays_full_is_an_error_and_the_node_sends_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _drop(tmp_path)
    ingested = set(finished(folder))
    kept = finished(folder)[0]

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        prune(folder, ingested - {kept}, ALL, FAR)

    assert list(finished(folder)) == [kept]
    assert (read_pruned(folder), list(folder.glob(f".{NAME}*"))) == ({}, [])


def test_a_memory_ends(tmp_path: Path) -> None:
    folder = _drop(tmp_path)
    (folder / NAME).write_text("1000 sealed/old.jsonl 7\n")

    prune(folder, set(finished(folder)), ALL, FAR)

    assert "sealed/old.jsonl" not in {f"{one.kind}/{one.name}" for one in read_pruned(folder)}
