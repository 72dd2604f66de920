"""What the release before or after left on a machine is read: tickets, marks, segments, a journal, letters."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slurm_guard import wire
from slurm_guard.clock import FakeClock
from slurm_guard.install import files, session
from slurm_guard.install.change import Places
from slurm_guard.lake.places import SpoolFile
from slurm_guard.lake.spoolfile import parse_file
from slurm_guard.report.letterbox import Status, read_state
from slurm_guard.sampler.chain import Chain, read_chain, save_chain
from slurm_guard.sampler.recover import recover
from tests.formats import apart
from tests.formats.makelake import FIXTURE
from tests.postal import drafts, run
from tests.unit.install.image import install, make_image, tree, uninstall
from tests.unit.report.test_outbox import Carrier
from tests.unit.sampler.fakes import Node
from tests.unit.sampler.jobs import put_mark, put_ticket

RELEASES = {"the same": lambda kind, shape, fields: fields, "later": apart.later, "earlier": apart.earlier}
STREAM = "demo_4728_gpu11_b3d30c7f_1760472179000"


def _of_release(node: Node, kind: str, change: apart.Change) -> None:
    """The hook's last file, as a hook of another release writes it."""
    for root in (node.folders.run, node.folders.spool):
        path = max((Path(root) / kind).iterdir())
        path.write_text(json.dumps(apart.changed(json.loads(path.read_text("utf-8")), change)), "utf-8")


@pytest.mark.parametrize("release", RELEASES)
def test_a_run_begins_and_ends_by_the_hooks_of_another_release(tmp_path: Path, release: str) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node, comment="guard:task=x", intent_sha256="a" * 64, visible="0", sharing=[])
    _of_release(node, "tickets", RELEASES[release])
    node.turn(130)
    put_mark(node, run, comment="guard:task=x", intent_sha256="a" * 64)
    _of_release(node, "ends", RELEASES[release])
    node.turn(40)

    seal = node.seal(run)
    assert (seal["ended_by"], seal["n_windows"]) == ("epilog", 3)
    assert {window["gpu"] for window in node.records("window", run)} == {"GPU-0"}
    assert [name for name in ("ticket-unusable", "sampler-error", "intent-edited") if node.events(name)] == []


def test_a_ticket_that_lacks_what_every_release_wrote_is_named_and_stops_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=2)
    put_ticket(node)
    _of_release(node, "tickets", lambda kind, shape, fields: {**fields, "job_id": None})
    other = put_ticket(node, 2, gpus=[1])
    node.turn(70)

    assert node.records("window", other) != []
    assert node.events("sampler-error") == []


def test_a_segment_that_a_later_release_left_open_is_closed_and_taken(tmp_path: Path) -> None:
    shutil.copytree(FIXTURE / "spool", tmp_path / "spool")
    apart.rewrite(tmp_path / "spool", apart.later, more=True)
    spool = tmp_path / "spool" / "gpu11"
    (spool / "open").mkdir()
    name = f"{STREAM}.000001.jsonl"
    whole = (spool / "sealed" / name).read_text("utf-8").splitlines(keepends=True)
    (spool / "sealed" / name).unlink()
    (spool / "open" / name).write_text("".join(whole[:-1]) + '{"k":"window","torn', "utf-8")

    found = recover(str(spool), 1_760_475_000.0)

    assert [(one.name, one.n, one.bad) for one in found] == [(name, len(whole) - 2, None)]
    parsed = parse_file(SpoolFile(str(spool / "sealed" / name), "gpu11", "sealed", name))
    assert sorted(parsed.left_out) == sorted(apart.KINDS)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: {**body, **apart.NEWS},
        lambda body: {**body, "format": 2},
        lambda body: {**body, "closed": [[*part, "more"] for part in body["closed"]]},
        lambda body: {"format": 1, "closed": body["closed"]},
        None,
    ],
    ids=["a field more", "a later format", "a longer row", "a field less", "none"],
)
def test_a_stream_goes_on_where_a_sampler_of_another_release_ended(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]] | None
) -> None:
    shutil.copytree(FIXTURE / "spool" / "gpu11", tmp_path / "n")
    spool = str(tmp_path / "n")
    (tmp_path / "n" / "chain").mkdir()
    known = read_chain(spool, STREAM)
    assert save_chain(spool, STREAM, Chain(known.closed[:1], []), durable=False)
    path = tmp_path / "n" / "chain" / f"{STREAM}.json"
    if change is None:
        path.unlink()
    else:
        path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), "utf-8")

    assert read_chain(spool, STREAM) == known
    assert [part.seq for part in known.closed] == [0, 1]


# -- what an installation leaves for the next one


def _journal_of_before(data: dict[str, Any]) -> dict[str, Any]:
    """Without all that has a default: what of it says something stays."""
    for entry in data["entries"]:
        for name in ("first", "was", "after"):
            entry[name] = {key: value for key, value in entry[name].items() if value not in ("", 0)}
        if not entry["edit"]:
            del entry["edit"]
    return {name: value for name, value in data.items() if name != "release" and value not in ([], {})}


def _journal_of_after(data: dict[str, Any]) -> dict[str, Any]:
    """With a field more wherever there are fields."""
    for entry in data["entries"]:
        for name in ("first", "was", "after"):
            entry[name] |= apart.NEWS
        entry |= apart.NEWS
    return {**data, **apart.NEWS}


JOURNALS = {"before": _journal_of_before, "after": _journal_of_after}


@pytest.mark.parametrize("release", JOURNALS)
def test_the_journal_of_another_release_is_upgraded_and_taken_back(
    tmp_path: Path, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_image(tmp_path / "image")
    before = tree(root)
    install(root)
    path = root / "var/lib/slurm-guard/install/journal.json"
    path.write_text(json.dumps(JOURNALS[release](json.loads(path.read_text("utf-8")))), "utf-8")
    newer = tmp_path / "newer"
    for name in ("prolog", "epilog", "packaging"):
        shutil.copytree(files.shared("prolog/README.md").parents[1] / name, newer / name)
    for hook in newer.glob("*/slurm-guard-*"):
        hook.write_text(hook.read_text("utf-8") + "# newer\n", "utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(files, "shared", lambda name: newer / name)
        session.carry_out(session.prepare_upgrade(Places(None, root)), lambda _: None)

    assert "# newer" in (root / "usr/libexec/slurm-guard/prolog/slurm-guard-prolog").read_text("utf-8")
    assert uninstall(root) == []
    assert {name: what for name, what in tree(root).items() if name in before} == before
    assert not path.exists()


def test_a_journal_of_a_later_format_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    root = make_image(tmp_path / "image")
    install(root)
    path = root / "var/lib/slurm-guard/install/journal.json"
    path.write_text(path.read_text("utf-8").replace('"format": 1', '"format": 2'), "utf-8")
    before = tree(root)

    for deed in (install, uninstall):
        with pytest.raises(Exception, match=r"install-journal: .* format 2, where this release knows 1"):
            deed(root)
    assert tree(root) == before


def test_a_letter_of_a_later_release_is_still_sent_or_known_to_be_sent(tmp_path: Path) -> None:
    done = run(tmp_path, Carrier(), drafts(["ops@example.org"]), FakeClock(1_790_000_000.0))
    path = done[0].kept.path
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **apart.NEWS}), "utf-8")

    found = read_state(path)

    assert found is not None
    assert (found.state.status, found.state.to) == (Status.SENT, "ops@example.org")


def test_every_part_of_a_ticket_stands_in_the_fixture() -> None:
    """So that `earlier` takes something away, and `later` reaches records inside records."""
    ticket = json.loads(next((FIXTURE / "spool" / "n1" / "tickets").iterdir()).read_text("utf-8"))

    assert set(ticket) - {"k"} == set(wire.Ticket._fields)
    assert apart.came_later(wire.Ticket) == {"boot_s", "visible", "sharing"}
    assert "next_release" in apart.changed(ticket, apart.later)["net"]["listen"][0]
