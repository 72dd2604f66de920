"""Snapshots before and after a run: what is new and the owner's, and nothing of a list that was cut."""

from dataclasses import replace

import pytest

from slurm_guard.audit.net.changes import changes_of
from slurm_guard.audit.run import audit_facts
from slurm_guard.model import Run, Verdict
from tests.builders import AT, UID, build, run_of
from tests.shapes import HONEST, OTHER_ROUTE, ROUTE, SHAPES, snapshot, wall

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
    assert _found(after, before) == [("name server", "1.2.3.4")]  # it is gone; the owner's socket may be


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


@pytest.mark.parametrize(
    ("kind", "told"),
    [("wireguard", True), ("tun", True), ("veth", False), ("bridge", False), ("dummy", False)],
)
def test_a_device_counts_by_its_kind_where_it_was_told_whatever_it_is_called(kind: str, told: bool) -> None:
    for name in ("eth7", "wg0"):
        after = snapshot(interfaces=["eth0", "lo", name], kinds={name: kind})
        assert _found(snapshot(kinds={}), after) == ([("device", f"{name} ({kind})")] if told else [])
    hardware = snapshot(interfaces=["eth0", "lo", "wg0"], kinds={})
    assert _found(snapshot(kinds={}), hardware) == []


def _new(**parts: object) -> str:
    return snapshot(**{"kinds": {}, "rules": [], "firewall": wall(), **parts})


def _shown(before: str, after: str, *others: Run) -> list[tuple[str, str, bool]]:
    world = replace(HONEST, nets=(before, after))
    facts = build(world)
    keys = facts.frames["tickets"].select("run").with_row_index("i")
    found = changes_of([run_of(world), *others], keys, facts.frames).get(0, ())
    return [(change.how, change.shown, change.telling) for change in found]


def test_routes_that_come_and_go_are_told_by_name_the_telling_ones_first() -> None:
    before = _new(routes=[ROUTE, "10.1.0.0/24 dev eth0", "fe80::/64 dev veth1 metric 256"])
    after = _new(routes=[OTHER_ROUTE, "blackhole 10.9.0.0/16", "::/1 dev wg0", "10.2.0.0/24 dev eth0"])
    assert _shown(before, after) == [
        ("new", f"default route {OTHER_ROUTE}", True),
        ("new", "route ::/1 dev wg0", True),
        ("new", "blackhole route 10.9.0.0/16", True),
        ("gone", f"default route {ROUTE}", True),
        ("new", "route 10.2.0.0/24 dev eth0", False),
        ("gone", "route 10.1.0.0/24 dev eth0", False),
    ]


def test_rules_and_filters_that_differ_are_told_in_words() -> None:
    nat = [{"table": "ip nat", "chain": "DOCKER", "hook": None, "policy": None, "n_rules": 1, "digest": "a"}]
    bare = wall(n_rules=0, policy="accept")
    before = _new(rules=["inet 0: from all lookup local"])
    after = _new(
        rules=["inet 0: from all lookup local", "inet 9: from all lookup 51820"],
        firewall={**bare, "chains": [*bare["chains"], *nat], "legacy": ["ip filter"]},  # type: ignore[misc]
    )
    assert _shown(before, after) == [
        ("new", "policy rule inet 9: from all lookup 51820", True),
        ("changed", "packet filter inet filter input (policy drop, then accept; 2 rules, then 0)", True),
        ("new", "iptables table ip filter", False),
        ("new", "packet filter ip nat DOCKER (1 rule)", False),
    ]
    same = {**wall(), "chains": [{**wall()["chains"][0], "digest": "b"}]}  # type: ignore[index]
    assert _shown(before, _new(rules=["inet 0: from all lookup local"], firewall=same)) == [
        ("changed", "packet filter inet filter input (2 rules, other ones)", True)
    ]


def test_filters_that_were_not_read_to_the_end_say_nothing() -> None:
    unread = wall(0)
    unread["chains"] = [{**unread["chains"][0], "n_rules": None, "digest": None}]  # type: ignore[index]
    assert _shown(_new(), _new(firewall=unread)) == []
    assert _shown(_new(), _new(firewall=wall(7), why={"firewall": "changed while it was read"})) == []
    assert _shown(_new(), _new(firewall=None, why={"firewall": "Operation not permitted"})) == []
    assert _shown(_new(), _new(firewall={**wall(), "chains": []}, why={"chains": "left off after 9"})) == []
    assert _shown(_new(firewall=wall(2, generation=1)), _new(firewall=wall(2, generation=9))) == []


def test_an_older_hooks_routes_are_compared_with_none_but_its_own() -> None:
    old = ["0.0.0.0/0 via 10.1.0.1 dev eth0", "10.1.0.0/24 via 0.0.0.0 dev eth0"]
    assert _shown(snapshot(routes=old), _new(routes=["10.1.0.0/24 dev eth0"])) == []
    assert [shown for _, shown, _ in _shown(snapshot(routes=old[1:]), snapshot(routes=old))] == [
        "default route 0.0.0.0/0 via 10.1.0.1 dev eth0"
    ]


def test_on_a_shared_node_a_change_is_the_nodes_and_the_words_say_so() -> None:
    facts = build(SHAPES["network-rerouted"])
    (alone,) = audit_facts(facts).judgements
    beside = replace(run_of(SHAPES["network-rerouted"]), id="c/8/x", job_id=8, uid=4242)
    facts = replace(facts, runs=(*facts.runs, beside))
    judged = audit_facts(facts).judgements[0]

    (first,) = (f for f in alone.findings if f.check == "network-changed")
    (shared,) = (f for f in judged.findings if f.check == "network-changed")
    assert alone.verdict is judged.verdict is Verdict.NOTE
    assert f"default route {OTHER_ROUTE} on n1 (new)" in first.sentence
    assert "nothing ties them to the run" in first.sentence
    assert "1 other run was on the node meanwhile: this is the node's" in shared.sentence
    assert max(first.weight, shared.weight) == 0.1


def test_the_lane_shows_what_stayed_and_nothing_is_held_against_anybody() -> None:
    nets = SHAPES["network-left-open"].nets
    (tunnel,) = audit_facts(build(replace(SHAPES["tunnel"], nets=nets))).judgements
    assert tunnel.timeline is not None
    texts = [event.text for event in tunnel.timeline.events if event.lane == "network"]
    assert "after the run and not before: listener tcp 127.0.0.1:2222, device wg0" in texts

    (alone,) = audit_facts(build(SHAPES["network-left-open"])).judgements
    assert alone.verdict is Verdict.NOTE
    (sentence,) = [f.sentence for f in alone.findings if f.check == "network-changed"]
    assert "1 listener of the owner's, 1 network device." in sentence
    assert "It may alter where packets go: device wg0 on n1 (new)." in sentence
    assert "nothing ties them to the run" in sentence


def test_many_listeners_hide_no_other_change_and_are_counted() -> None:
    ports = [(f"127.0.0.1:{port}", UID) for port in range(20_000, 20_300)]
    held = [{"proto": "tcp", "local": f"10.0.0.5:{port}", "peer": "203.0.113.1:22", "state": "ESTABLISHED",
             "uid": UID} for port in range(40_000, 40_003)]  # fmt: skip
    before = snapshot(kinds={}, rules=[], routes=[ROUTE])
    after = snapshot(
        *ports, kinds={"wg0": "wireguard"}, interfaces=["eth0", "lo", "wg0"], rules=[],
        routes=[ROUTE, OTHER_ROUTE], established=held,
    )  # fmt: skip
    shown = [words for _, words, _ in _shown(before, after)]
    assert [words for words in shown if "more" in words] == ["292 more listeners"]
    assert {"device wg0 (wireguard)", f"default route {OTHER_ROUTE}"} < set(shown)
    assert len(shown) == 9 + 3 + 2

    world = replace(SHAPES["tunnel"], nets=(before, after))
    (judgement,) = audit_facts(build(world)).judgements
    (finding,) = [f for f in judgement.findings if f.check == "network-changed"]
    assert (
        "300 listeners of the owner's, 3 connections of the owner's, 1 network device, 1 route."
        in finding.sentence
    )
    assert [evidence.what.split(" on ")[0] for evidence in finding.evidence[:4]] == [
        "listener tcp 127.0.0.1:20000",
        "connection tcp 10.0.0.5:40000 to 203.0.113.1:22",
        "device wg0 (wireguard)",
        f"default route {OTHER_ROUTE}",
    ]
    assert judgement.timeline is not None
    (stayed,) = [e.text for e in judgement.timeline.events if e.text.startswith("after the run")]
    assert "device wg0 (wireguard) and 302 more" in stayed


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [("sit0", "sit", False), ("tunl0", "ipip", False), ("ip6tnl0", "ip6tnl", False), ("gre0", "gre", False),
     ("ip_vti0", "vti", False), ("sit1", "sit", True), ("sit0", "wireguard", True), ("tunl0", "tun", True)],
)  # fmt: skip
def test_devices_that_come_with_a_module_of_the_kernels_are_no_tunnel(
    name: str, kind: str, told: bool
) -> None:
    after = snapshot(interfaces=["eth0", "lo", name], kinds={name: kind})
    assert bool(_found(snapshot(kinds={}), after)) is told
    if kind == "sit":  # an older hook told names alone
        assert bool(_found(snapshot(), snapshot(interfaces=["eth0", "lo", name]))) is told


def test_a_device_that_went_and_a_name_that_is_anothers_are_told() -> None:
    def state(kind: str | None, *, kinds: bool = True) -> str:
        parts = {"interfaces": ["eth0", "lo", *(["x0"] if kind is not None else [])]}
        return snapshot(**parts, **({"kinds": {"x0": kind} if kind else {}} if kinds else {}))

    assert _shown(state("wireguard"), state(None)) == [("gone", "device x0 (wireguard)", False)]
    assert _shown(state("veth"), state(None)) == []
    assert _shown(state("veth"), state("tun")) == [("changed", "device x0 (veth, then tun)", True)]
    assert _shown(state("tun"), state("")) == [("changed", "device x0 (tun, then hardware)", False)]
    assert _shown(state("veth"), state("bridge")) == []
    assert _shown(state("tun", kinds=False), state("wireguard")) == []  # nothing told before
