"""Snapshots before and after a run: what is new and the owner's, and nothing of a list that was cut."""

from dataclasses import replace

import pytest

from slurm_guard.audit.net.changes import changes_of
from slurm_guard.audit.run import audit_facts
from slurm_guard.model import Run, Verdict
from tests.builders import AT, UID, build, run_of
from tests.shapes import HONEST, SHAPES, snapshot

SSHD = ("0.0.0.0:22", 0)
MINE = ("127.0.0.1:2222", UID)


def _found(before: str | None, after: str | None, *others: Run) -> list[tuple[str, str]]:
    world = replace(HONEST, nets=(before, after))
    facts = build(world)
    keys = facts.frames["tickets"].select("run").with_row_index("i")
    found = changes_of([run_of(world), *others], keys, facts.frames)
    return [(change.kind, change.what) for change in found.get(0, ())]


def test_what_is_new_and_the_owners_is_told_and_nothing_else() -> None:
    before = snapshot(SSHD, nameservers=["10.0.0.53"])
    after = snapshot(SSHD, MINE, ("127.0.0.1:3", UID + 1), nameservers=["10.0.0.53", "1.2.3.4"])
    assert _found(before, after) == [("listener", "tcp 127.0.0.1:2222"), ("name server", "1.2.3.4")]
    assert _found(after, before) == []


def test_connections_that_outlive_the_run_are_told_by_both_ends() -> None:
    held = {"proto": "tcp", "local": "10.0.0.5:40000", "peer": "203.0.113.1:22", "state": "ESTABLISHED"}
    after = snapshot(established=[{**held, "uid": UID}, {**held, "uid": 0, "local": "10.0.0.5:22"}])
    assert _found(snapshot(), after) == [("connection", "tcp 10.0.0.5:40000 to 203.0.113.1:22")]


@pytest.mark.parametrize(
    ("name", "told"), [("wg0", True), ("tun12", True), ("docker0", False), ("veth1a", False)]
)
def test_devices_count_when_they_are_named_like_ways_out(name: str, told: bool) -> None:
    assert bool(_found(snapshot(), snapshot(interfaces=["eth0", "lo", name]))) == told


def test_a_list_that_was_cut_before_the_run_says_nothing_of_sockets() -> None:
    assert _found(snapshot(SSHD, truncated=True), snapshot(SSHD, MINE)) == []
    assert _found(snapshot(SSHD), snapshot(SSHD, MINE, truncated=True)) != []


def test_a_part_that_could_not_be_read_says_nothing() -> None:
    after = snapshot(routes=["10.9.0.0/16 via 0.0.0.0 dev eth0"])
    assert _found(snapshot(), after) != []
    assert _found(snapshot(why={"routes": "Permission denied"}), after) == []


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"listen": [1], "truncated": false}'])
def test_snapshots_that_are_missing_or_broken_are_no_difference(text: str | None) -> None:
    assert _found(text, text) == []
    assert _found(snapshot(), text) == []


def test_with_another_run_of_the_owners_on_the_node_sockets_are_nobodys() -> None:
    world = replace(HONEST, nets=(snapshot(), snapshot(MINE)))
    beside = replace(run_of(world), id="c/8/x", job_id=8, start_at=AT + 100, end_at=None)
    before = replace(beside, start_at=AT - 900, end_at=AT - 800)
    assert _found(*world.nets, beside) == []
    assert _found(*world.nets, before) == [("listener", "tcp 127.0.0.1:2222")]


def test_the_lane_shows_what_stayed_and_nothing_is_held_against_anybody() -> None:
    nets = SHAPES["network-left-open"].nets
    (tunnel,) = audit_facts(build(replace(SHAPES["tunnel"], nets=nets))).judgements
    assert tunnel.timeline is not None
    texts = [event.text for event in tunnel.timeline.events if event.lane == "network"]
    assert "after the run and not before: listener tcp 127.0.0.1:2222, device wg0" in texts

    (alone,) = audit_facts(build(SHAPES["network-left-open"])).judgements
    assert alone.verdict is Verdict.CLEAR
    (sentence,) = [f.sentence for f in alone.findings if f.check == "network-changed"]
    assert "1 listener of the owner's, 1 network device." in sentence
    assert "wg0 on n1 is named like a device that leads elsewhere." in sentence
