"""The network side of a run: honest stacks are quiet, tunnels are not, and no record can break or slow it."""

import json
import random
import time
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from slurm_guard.audit.amounts import sized
from slurm_guard.audit.net.flows import MOST_FLOWS, words
from slurm_guard.audit.net.net import Kind, kind_of
from slurm_guard.audit.run import audit_facts
from slurm_guard.config import NetworkConfig
from slurm_guard.document import to_json
from slurm_guard.lake.schema import TABLES
from slurm_guard.model import Family, Judgement, Verdict
from tests.builders import AT, NODE, Log, Tenant, World, build, frames_of, key
from tests.shapes import BESIDE, HELD, LOGGER, NOTEBOOK, OTHER, STORAGE, TO_LOGGER, TRAIN, UPDATE
from tests.talk import MIB, NODE_AT, OUT, Counted, Handed, Talk

SHORT = World(length_s=3600, tenants=(TRAIN,), log=Log())
PYTHON = "/usr/bin/python3"


def judged(world: World) -> Judgement:
    audit = audit_facts(build(world))
    assert [s for s in audit.skips if s.reason == "check-failed"] == []
    return next(j for j in audit.judgements if j.run.job_id == 7)


def said(world: World) -> dict[str, float]:
    """The network checks that spoke, with their weights."""
    return {f.check: f.weight for f in judged(world).findings if f.family is Family.F}


def _trainer(peer: str, out_b: int, in_b: int, from_s: float = 30, until_s: float = 3590) -> Talk:
    return Talk(peer, from_s, until_s, "train", PYTHON, True, out_b, in_b)


HONEST: dict[str, World] = {
    "object storage beside torchrun": replace(
        SHORT,
        talk=(*STORAGE, _trainer("127.0.0.1:29500", 2 * MIB, 2 * MIB)),
        handed=(BESIDE,),
    ),
    "Ray beside W&B": replace(
        SHORT,
        talk=(
            _trainer("198.51.100.8:443", 900_000, 70_000),
            _trainer("10.0.0.8:6379", 6 * MIB, 5 * MIB),
            Talk("127.0.0.1:10002", 30, 3590, 350, "/opt/ray/raylet", True, 4 * MIB, 4 * MIB),
        ),
        handed=(
            # both move in most looks; of the busier one no more than a trifle could have come by the other
            Handed("198.51.100.8:443", "10.0.0.8:6379", who=("train",), exe=PYTHON, outer_b=(70_000, 900_000),
                   inner_b=(5 * MIB, 6 * MIB), coupled=0.012, n_coupled=60, n_busy=350),
        ),
    ),
    "Dask beside a database": replace(
        SHORT,
        talk=(_trainer("10.0.7.7:5432", 4 * MIB, 900 * MIB), _trainer("10.0.0.9:8786", 90 * MIB, 3 * MIB)),
        handed=(
            Handed("10.0.7.7:5432", "127.0.0.1:8786", who=("train",), exe=PYTHON,
                   outer_b=(900 * MIB, 4 * MIB), inner_b=(3 * MIB, 800 * MIB), coupled=0.9),
        ),
    ),
    "git over ssh": replace(
        SHORT, talk=tuple(Talk("198.51.100.22:22", 40 + k, 47 + k, 310) for k in range(5))
    ),
    "rsync to an archive outside": replace(
        SHORT, talk=(Talk("198.51.100.30:22", 60, 3500, 311, "/usr/bin/ssh", True, 40_000 * MIB, 60 * MIB),)
    ),
    "a VS Code tunnel that the site allows by its program": replace(
        SHORT,
        talk=(Talk(OUT, 60, 3500, 312, "/opt/vscode/code", True, MIB, MIB),),
        handed=(Handed(exe="/opt/vscode/code", who=(312,), inner="127.0.0.1:41000"),),
        network=NetworkConfig(tunnels=["/opt/vscode/code"]),
    ),
    "Jupyter from the login node": replace(
        SHORT,
        talk=(Talk("10.0.0.1:51514", 60, 3500, 302, PYTHON, False, 9 * MIB, MIB, f"{NODE_AT}:8888"),),
        handed=(NOTEBOOK,),
    ),
    "the W&B service of old, on a port of the node": replace(SHORT, talk=(TO_LOGGER,), handed=(LOGGER,)),
    "the W&B service of today, on a socket file": replace(
        SHORT, talk=(Talk("198.51.100.9:443", 30, 3590, 304, "/opt/env/wandb-core", True, 300_000, 40_000),)
    ),
    "packages, models and containers fetched at the start": replace(
        SHORT,
        talk=tuple(
            Talk(f"198.51.100.{k % 40}:443", 5 + k / 10, 6 + k / 10, 400 + k, PYTHON, True, 900, 3 * MIB)
            for k in range(600)
        ),
    ),
    "ranks of two nodes that hand on what they receive": replace(
        SHORT,
        talk=(_trainer("10.0.0.6:47000", 900 * MIB, 900 * MIB),),
        handed=(Handed("10.0.0.6:47000", f"{NODE_AT}:47001", who=("train",), exe=PYTHON),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HONEST))
def test_honest_traffic_is_quiet(name: str) -> None:
    judgement = judged(HONEST[name])

    assert [f.check for f in judgement.findings if f.family is Family.F] == []
    assert judgement.verdict is Verdict.CLEAR


TUNNEL = replace(SHORT, talk=(HELD,), handed=(Handed(until_s=3000),))


@pytest.mark.parametrize(
    ("world", "weight"),
    [
        (TUNNEL, 6.0),
        (replace(TUNNEL, handed=(Handed(exe="/usr/bin/chisel"),)), 6.0),
        (replace(TUNNEL, handed=(Handed(exe=None, who=()),)), 6.0),
        (replace(TUNNEL, handed=(Handed(inner="10.0.0.77:3389"),)), 6.0),
        (replace(TUNNEL, handed=(Handed("[2001:db8::9]:443", "[::1]:8888"),)), 6.0),
        # the site's or the job's word covers a destination, not a way in
        (replace(TUNNEL, network=NetworkConfig(egress=["0.0.0.0/0:443"])), 2.0),
        (replace(TUNNEL, comments=("guard:egress=203.0.113.0/24", "guard:egress=203.0.113.0/24")), 2.0),
        (replace(TUNNEL, network=NetworkConfig(tunnels=["203.0.113.9:443"])), None),
        (replace(TUNNEL, network=NetworkConfig(tunnels=["203.0.113.9:22"])), 6.0),
        (replace(TUNNEL, network=NetworkConfig(tunnels=["203.0.113.9:443 account=chem,lab"])), None),
        (replace(TUNNEL, network=NetworkConfig(tunnels=["203.0.113.9:443 account=lab partition=cpu"])), 6.0),
        (replace(TUNNEL, network=NetworkConfig(egress=["203.0.113.9 user=ann"])), 2.0),
        (replace(TUNNEL, network=NetworkConfig(egress=["203.0.113.9 user=bob"])), 6.0),
        # who opened what is not known of all: no hard fact, and no way to hide
        (replace(TUNNEL, handed=(Handed(inner_opened=None),)), 2.0),
        (replace(TUNNEL, handed=(Handed(outer_opened=None),)), 2.0),
        (replace(TUNNEL, handed=(Handed(outer_opened=False),)), None),
        (replace(TUNNEL, handed=(Handed("10.0.0.1:22"),)), 2.0),
        (replace(TUNNEL, handed=(Handed(coupled=0.001),)), None),
        (replace(TUNNEL, handed=(Handed(n_coupled=1),)), 2.0),
        (replace(TUNNEL, handed=(Handed(n_coupled=2, outer_b=(9000, 20_000), inner_b=(18_000, 7000)),)), 6.0),
        # two clients whose heartbeats are alike look after look: no hard fact
        (replace(TUNNEL, handed=(Handed(outer_b=(54_000,) * 2, inner_b=(52_000,) * 2, n_coupled=170),)), 2.0),
        (replace(TUNNEL, handed=(Handed(outer_b=(400, 300), inner_b=(200, 300), n_coupled=1),)), None),
        # keep-alives of hours beside a short use
        (replace(TUNNEL, handed=(Handed(outer_b=(320_000, 400_000), inner_b=(250_000, 150_000)),)), 6.0),
        (replace(TUNNEL, handed=(Handed(outer_b=(58_000, 110_000), inner_b=(60_000, 9000), until_s=3590,
                                        n_busy=7, n_coupled=7),)), 6.0),
    ],
)  # fmt: skip
def test_a_tunnel_weighs(world: World, weight: float | None) -> None:
    assert said(world).get("reverse-tunnel") == weight


TRAINERS = Handed(who=("train",), exe=PYTHON)


@pytest.mark.parametrize(
    ("handed", "weight"),
    [
        ((TRAINERS,), 2.0),
        ((replace(TRAINERS, outer="203.0.113.9:80"), TRAINERS), 2.0),
        ((replace(TRAINERS, led=False),), 0.9),
        ((replace(TRAINERS, coupled=0.001),), None),
        # another process of that name beside it, to the same place
        ((TRAINERS, replace(TRAINERS, who=(300,))), 6.0),
    ],
)
def test_what_the_process_that_trains_hands_on_asks_for_a_look(
    handed: tuple[Handed, ...], weight: float | None
) -> None:
    assert said(replace(SHORT, handed=handed)).get("reverse-tunnel") == weight


@pytest.mark.parametrize(("led", "hard"), [(False, False), (True, True)])
def test_what_may_ask_outside_by_itself_asks_for_a_look_and_says_what_else_it_may_be(
    led: bool, hard: bool
) -> None:
    [found] = [
        f for f in judged(replace(SHORT, handed=(Handed(led=led),))).findings if f.check == "reverse-tunnel"
    ]
    assert found.hard is hard
    assert ("asks there by itself" in found.sentence) is not hard


@pytest.mark.parametrize(("in_b", "hard"), [(63 * MIB, False), (2 * MIB, True)])
def test_of_a_node_that_does_not_say_who_leads_only_what_brings_in_is_soft(in_b: int, hard: bool) -> None:
    """Heads of requests and short answers, 44 KB each, beside it: a mirror, rows into a database."""
    heads = 64 * 1024
    handed = Handed(outer_b=(in_b, heads), inner_b=(heads, in_b), led=None)
    [found] = [f for f in judged(replace(SHORT, handed=(handed,))).findings if f.check == "reverse-tunnel"]
    assert found.hard is hard
    assert ("asks there by itself" in found.sentence) is not hard


def test_a_tunnel_that_is_renewed_all_the_time_is_one_tunnel() -> None:
    parts = tuple(
        Handed(who=(300 + k,), from_s=60.0 * k, until_s=60.0 * k + 50, n_coupled=1, outer_b=(9000, 9000),
               inner_b=(6000, 6000)) for k in range(50)
    )  # fmt: skip
    moving = tuple(replace(part, outer=f"203.0.113.9:{2000 + k}") for k, part in enumerate(parts))
    found = [f for f in judged(replace(SHORT, handed=parts)).findings if f.check == "reverse-tunnel"]

    assert said(replace(SHORT, handed=moving)) == {"reverse-tunnel": 6.0}
    assert [f.hard for f in found] == [True]
    assert len(found[0].evidence) == 1


def test_a_tunnel_names_the_service_that_was_reached_and_what_would_clear_it() -> None:
    found = next(f for f in judged(TUNNEL).findings if f.check == "reverse-tunnel")

    assert "127.0.0.1:22 (the port of ssh)" in found.sentence
    assert "T1021.004" in found.attack
    assert "[network] tunnels" in found.evidence[0].clears


LONE = replace(SHORT, talk=(replace(UPDATE, until_s=3500),))


@pytest.mark.parametrize(
    ("talk", "weight"),
    [
        ({}, 2.0),
        ({"exe": "/usr/bin/autossh"}, 2.25),
        ({"until_s": 1500.0}, None),
        ({"in_b": 40 * MIB}, None),
        ({"in_b": 20_000, "out_b": 60_000}, 2.0),
        ({"in_b": 5_000, "out_b": 60_000}, None),  # more out than in: a report
        ({"in_b": None}, None),  # few at first sight, unknown at the end
        ({"opened": None}, 0.9),
        ({"opened": False}, None),
        ({"who": None}, 0.9),
        ({"who": "train", "exe": PYTHON}, None),
        ({"peer": "10.0.0.1:22"}, None),
        ({"peer": "nonsense"}, None),
    ],
)
def test_a_lone_connection_weighs(talk: dict[str, Any], weight: float | None) -> None:
    world = replace(LONE, talk=(replace(LONE.talk[0], **talk),))

    assert said(world).get("lone-connection") == weight


def test_a_line_whose_relay_is_no_more_than_chance_may_still_be_a_waiting_tunnel() -> None:
    world = replace(LONE, handed=(Handed(outer_b=(9000, 9000), inner_b=(90, 90)),))

    assert said(world) == {"lone-connection": 2.0}


def test_half_the_world_is_no_declared_destination() -> None:
    assert said(replace(LONE, comments=("guard:egress=0.0.0.0/0",) * 2))["lone-connection"] == 2.0
    assert said(replace(LONE, comments=("guard:egress=203.0.113.0/24",) * 2)) == {}


def test_a_tunnel_in_use_is_not_also_a_lone_connection() -> None:
    assert "lone-connection" not in said(replace(TUNNEL, talk=LONE.talk))


def test_a_program_file_that_is_gone_and_a_remote_forward_add_a_little() -> None:
    facts = build(LONE)
    row = {
        "run": key(7), "how": "cgroup", "pid": 300, "start_ticks": 5, "ppid": 1, "exe_flags": ["deleted"],
        "cmdline": "ssh -N -R 2222:localhost:22 x", "first_seen_at": AT + 1, "last_seen_at": AT + 9,
        "gone": True,
    }  # fmt: skip
    more = pl.concat([facts.frames["processes"], frames_of({"processes": [row]})["processes"]])
    found = audit_facts(replace(facts, frames={**facts.frames, "processes": more})).judgements[0].findings

    assert next(f.weight for f in found if f.check == "lone-connection") == 2.75


@pytest.mark.parametrize(
    ("declares", "egress", "found"),
    [
        (None, [], False),
        ("none", [], True),
        ("198.51.100.0/24", [], False),
        ("s3.example.org", [], False),  # a name: no address can be held against it
        (None, ["192.0.2.0/24"], True),
        (None, ["198.51.100.0/24:443"], False),
        ("192.0.2.1", ["198.51.100.0/24:443"], False),
    ],
)
def test_destinations_are_held_against_what_was_named(
    declares: str | None, egress: list[str], found: bool
) -> None:
    comment = None if declares is None else f"guard:egress={declares}"
    world = replace(SHORT, talk=STORAGE, comments=(comment, comment), network=NetworkConfig(egress=egress))

    judgement = judged(world)

    assert any(f.check == "undeclared-egress" for f in judgement.findings) is found
    assert judgement.verdict is (Verdict.NOTE if found else Verdict.CLEAR)


def _probes(n: int, **changes: Any) -> tuple[Talk, ...]:
    plain = Talk("", 60, 61, None, "/usr/bin/nmap", True, 20, 40)
    return tuple(
        replace(plain, **{"peer": f"10.9.{k // 250}.{k % 250}:22", "who": 900 + k, **changes})
        for k in range(n)
    )


@pytest.mark.parametrize(
    ("talk", "weight"),
    [
        (_probes(500), 2.0),
        (_probes(90), None),
        (_probes(500, in_b=9000), None),
        (_probes(500, in_b=None, out_b=None), 0.9),
        (_probes(500, until_s=600.0), None),
        (_probes(500, gone=False), None),
        (_probes(500, opened=False), None),
        (tuple(replace(t, peer=f"10.9.0.1:{1000 + k}") for k, t in enumerate(_probes(300))), 2.0),
        (tuple(replace(t, peer="10.9.0.1:22") for t in _probes(300)), None),  # waits for one place
        (tuple(replace(t, peer=f"127.0.0.1:{1000 + k}") for k, t in enumerate(_probes(300))), None),
    ],
)
def test_a_scan_weighs(talk: tuple[Talk, ...], weight: float | None) -> None:
    assert said(replace(SHORT, talk=talk)).get("address-scan") == weight


def test_a_tunnel_and_unexplained_work_are_said_together_on_one_time_line() -> None:
    other = replace(OTHER, until_s=3500)
    log = Log(paces=((0, 6.0), (900, 8.4)))
    judgement = judged(replace(TUNNEL, tenants=(TRAIN, other), log=log))

    assert judgement.verdict is Verdict.ALERT
    assert "reverse tunnel in use" in judgement.sentence
    assert "In the same run at least" in judgement.sentence
    assert "reverse-tunnel" in judgement.classes
    assert judgement.timeline is not None
    lanes = {
        event.lane: event
        for event in judgement.timeline.events
        if "tunnel" in event.text or "stray" in event.text
    }
    assert set(lanes) == {"network", "process"}
    assert lanes["network"].at == AT + 1200
    assert lanes["network"].until_at == AT + 3000
    assert "2.0 MiB in, 20 MiB out" in lanes["network"].text


def test_work_alone_says_nothing_of_a_network_and_a_waiting_tunnel_makes_it_an_alert() -> None:
    alone = replace(SHORT, tenants=(TRAIN, replace(OTHER, until_s=3500)))

    assert "In the same run" not in judged(alone).sentence
    assert judged(replace(alone, talk=LONE.talk)).verdict is Verdict.ALERT


def test_many_processes_do_not_crowd_the_network_out_of_the_timeline() -> None:
    many = tuple(Tenant(f"w{k}", 60 + k, 3500, share=0.01, level=0.01) for k in range(80))
    judgement = judged(replace(TUNNEL, tenants=(TRAIN, *many)))

    assert judgement.timeline is not None
    assert len(judgement.timeline.events) == 60
    assert any(event.lane == "network" for event in judgement.timeline.events)


def test_an_address_that_the_job_made_up_in_a_namespace_of_its_own_is_not_the_nodes() -> None:
    fake = replace(UPDATE, local=OUT, peer="10.0.0.1:22", netns=4_026_532_999, from_s=1, until_s=2)
    listens = replace(fake, netns=None, state="LISTEN", peer="0.0.0.0:0")
    datagrams = replace(fake, netns=None, proto="udp6")

    assert said(replace(TUNNEL, talk=(HELD, fake, listens, datagrams)))["reverse-tunnel"] == 6.0


def _tried(n: int, **how: Any) -> Counted:
    """So many places outside, of which at most 32 are listed."""
    return Counted(tuple(f"203.0.113.{k}:22" for k in range(min(n, 32))), n, **how)


@pytest.mark.parametrize(
    ("counted", "weight"),
    [
        ((_tried(3000, failed=True),), 2.0),
        ((_tried(3000, in_b=40),), 2.0),  # a banner each
        ((_tried(3000, how="alone"),), 0.9),  # perhaps the node's own services'
        # twenty a minute, ever new ones
        (
            tuple(
                replace(_tried(20), places=tuple(f"203.0.{m}.{k}:22" for k in range(20))) for m in range(6)
            ),
            2.0,
        ),
        ((Counted(tuple(f"203.0.113.7:{p}" for p in range(1, 33)), 1000, failed=True),), 2.0),
    ],
)
def test_a_scan_that_no_look_met_is_told(counted: tuple[Counted, ...], weight: float) -> None:
    assert said(replace(SHORT, counted=counted)) == {"address-scan": weight}


@pytest.mark.parametrize(
    "counted",
    [
        _tried(90, failed=True),
        _tried(3000, in_b=4000),  # pages
        Counted(("203.0.113.7:443",), 1, n_each=5000),  # one place, again and again
        Counted(tuple(f"127.0.0.{k}:22" for k in range(1, 33)), 1000),
        Counted(tuple(f"{NODE_AT}:{k}" for k in range(1, 33)), 32),
    ],
)
def test_short_connections_that_are_no_scan_are_quiet(counted: Counted) -> None:
    assert said(replace(SHORT, counted=(counted,))) == {}


def test_a_scan_of_what_the_site_allows_is_none() -> None:
    network = NetworkConfig(egress=["203.0.113.0/24"])
    assert said(replace(SHORT, counted=(_tried(3000, failed=True),), network=network)) == {}


def test_an_undeclared_place_of_short_connections_is_named_and_what_is_not_sure_is_said() -> None:
    sure = Counted(("203.0.113.9:443",), 1, n_each=40, in_b=900, out_b=100)
    perhaps = Counted(("203.0.113.10:443",), 1, n_each=3, how="alone")
    world = replace(SHORT, counted=(sure, perhaps), comments=("guard:egress=none", None))

    (finding,) = [f for f in judged(world).findings if f.family is Family.F]

    assert finding.check == "undeclared-egress"
    assert "203.0.113.9:443 (35 KiB in, 3.9 KiB out)" in finding.sentence
    assert "203.0.113.10:443 (0 B in, 0 B out; the run's or the node's own" in finding.sentence
    assert [e.value for e in finding.evidence] == [40_000.0, 0.0]


def test_short_connections_stand_in_the_network_lane() -> None:
    timeline = judged(replace(SHORT, counted=(_tried(3000, failed=True),))).timeline
    assert timeline is not None
    texts = [event.text for event in timeline.events if event.lane == "network"]
    assert any(text.startswith("about 3,000 short connections") for text in texts)
    assert "scan: a process tried 3,000 addresses" in texts


def test_the_order_of_rows_does_not_matter() -> None:
    world = replace(
        TUNNEL,
        talk=(HELD, *STORAGE, *_probes(150), UPDATE),
        counted=(_tried(150), _tried(40)),
        comments=("guard:egress=none", None),
    )
    facts = build(world)
    plain = to_json(audit_facts(facts))

    for seed in range(5):
        mixed = {
            name: facts.frames[name].sample(fraction=1.0, shuffle=True, seed=seed)
            for name in ("flows", "relays", "briefs")
        }
        twice = {name: pl.concat([frame, frame]) for name, frame in mixed.items()}
        assert to_json(audit_facts(replace(facts, frames={**facts.frames, **twice}))) == plain


HOSTILE_PLACES = [
    "",
    ":",
    "1.2.3.4",
    "[::1",
    "9" * 4000,
    "\x00:1",
    "203.0.113.7:99999",
    "é:1",
    "[::ffff:203.0.113.8]:443",
]
_NUMBERS = [None, -1, 0, -(2**63), 2**63 - 1, 512]
_TIMES = [float("nan"), float("inf"), -float("inf"), -1e300, 0.0, AT, AT + 900, AT + 3500, 1e300]


def _hostile(table: str, rng: random.Random, n: int) -> pl.DataFrame:
    """Rows of any values that the schema holds."""
    rows: list[dict[str, Any]] = []
    for _ in range(n):
        row: dict[str, Any] = {}
        for name, kind in TABLES[table].items():
            if kind == pl.Int64:
                row[name] = rng.choice(_NUMBERS)
            elif kind == pl.Float64:
                row[name] = rng.choice(_TIMES)
            elif kind == pl.Boolean:
                row[name] = rng.choice([None, True, False])
            elif kind == pl.String:
                row[name] = rng.choice([None, *HOSTILE_PLACES])
            elif kind == pl.List(pl.String):
                row[name] = rng.choice([None, [], [None], HOSTILE_PLACES])
            else:
                row[name] = rng.choice([None, [], [None], [2**62, -5, 1]])
        rows.append({**row, "cluster": "c", "node": NODE, "run": key(7)})
    return pl.DataFrame(rows, schema=TABLES[table], orient="row")


def test_no_record_can_break_the_audit() -> None:
    facts = build(TUNNEL)
    for seed in range(20):
        rng = random.Random(seed)
        bad = {
            name: pl.concat([facts.frames[name], _hostile(name, rng, 200)])
            for name in ("flows", "relays", "briefs")
        }
        audit = audit_facts(replace(facts, frames={**facts.frames, **bad}))
        json.loads(to_json(audit))  # no NaN in it
        assert [s for s in audit.skips if s.reason == "check-failed"] == []
        assert any(f.hard for f in audit.judgements[0].findings)


def test_a_hundred_thousand_connections_take_seconds_and_hide_no_tunnel() -> None:
    facts = build(replace(TUNNEL, talk=(replace(UPDATE, until_s=3500, peer="203.0.113.44:443"), HELD)))
    n = 100_000
    crowd = pl.DataFrame({
        "cluster": ["c"] * n, "node": [NODE] * n, "run": [key(7)] * n, "pid": list(range(n)),
        "proto": ["tcp"] * n, "exe": ["/usr/bin/x"] * n,
        "local": [f"{NODE_AT}:{k % 60_000}" for k in range(n)],
        "peer": [f"10.{k >> 16 & 255}.{k >> 8 & 255}.{k & 255}:22" for k in range(n)], "state": ["CLOSE"] * n,
        "first_seen_at": [AT + 100 + k / 100 for k in range(n)],
        "last_seen_at": [AT + 101 + k / 100 for k in range(n)], "gone": [True] * n, "cookie": list(range(n)),
        "opened": [True] * n, "out_b": [10] * n, "in_b": [10] * n,
    }, schema_overrides=TABLES["flows"])  # fmt: skip
    flows = pl.concat([facts.frames["flows"], crowd], how="diagonal_relaxed").select(list(TABLES["flows"]))

    begun = time.monotonic()
    judgement = audit_facts(replace(facts, frames={**facts.frames, "flows": flows})).judgements[0]

    assert time.monotonic() - begun < 20  # about 2 s on one idle core
    assert {f.check for f in judgement.findings} >= {"reverse-tunnel", "lone-connection", "address-scan"}
    assert any("more connections than were followed" in note for note in judgement.notes)


def test_the_last_word_on_a_connection_keeps_what_was_once_known() -> None:
    base = {
        "run": key(7),
        "proto": "tcp",
        "local": f"{NODE_AT}:1",
        "peer": OUT,
        "cookie": 5,
        "first_seen_at": AT,
    }
    rows = [
        {**base, "last_seen_at": AT, "gone": False, "pid": 4, "opened": True, "out_b": 10},
        {**base, "last_seen_at": AT + 9, "gone": True, "pid": None, "opened": False, "out_b": -7},
    ]
    keys = pl.DataFrame({"run": [key(7)], "i": [0], "node": [NODE], "ticket_at": [AT]})

    found = list(words(frames_of({"flows": rows}), keys).flows_of(0))

    assert [(f.pid, f.opened, f.out_b, f.in_b, f.gone, f.age_s) for f in found] == [
        (4, True, 10, None, True, 9.0)
    ]


def test_connections_beyond_the_most_are_counted() -> None:
    n = MOST_FLOWS + 5
    row = {"run": key(7), "proto": "tcp", "local": "a", "peer": "b", "first_seen_at": AT, "last_seen_at": AT}
    keys = pl.DataFrame({"run": [key(7)], "i": [0], "node": [NODE], "ticket_at": [AT]})

    found = words(frames_of({"flows": [{**row, "cookie": k} for k in range(n)]}), keys)

    assert found.left_out == {0: 5}
    assert len(list(found.flows_of(0))) == MOST_FLOWS


@pytest.mark.parametrize(
    ("outer", "inner", "kind"),
    [
        (True, True, Kind.BRIDGE),
        (True, False, Kind.FORWARD),
        (False, True, Kind.GATEWAY),
        (False, None, Kind.GATEWAY),
        (None, True, Kind.UNCLEAR),
        (True, None, Kind.UNCLEAR),
    ],
)
def test_a_relay_is_named_by_who_opened_its_sides(outer: bool | None, inner: bool | None, kind: Kind) -> None:
    world = replace(SHORT, handed=(Handed(outer_opened=outer, inner_opened=inner),))
    keys = pl.DataFrame({"run": [key(7)], "i": [0], "node": [NODE], "ticket_at": [AT]})

    assert [kind_of(word) for word in words(build(world).frames, keys).relays_of(0)] == [kind]


@pytest.mark.parametrize(
    ("n_b", "words_"),
    [(0, "0 B"), (1023, "1,023 B"), (1536, "1.5 KiB"), (20 * MIB, "20 MiB"), (1 << 50, "1,048,576 GiB")],
)
def test_bytes_are_said_in_a_fitting_unit(n_b: int, words_: str) -> None:
    assert sized(n_b) == words_


NAMED: dict[tuple[int, int], tuple[str, ...]] = {
    (32, (203 << 24) + (113 << 8) + 9): ("relay.example.org", "old.example")
}


@pytest.mark.parametrize(
    ("declared", "weight"),
    [
        ("relay.example.org", 2.0),
        ("*.example.org:443", 2.0),
        ("example.org", 6.0),
        ("relay.example.org:22", 6.0),
        ("old.example", 2.0),
    ],
)
def test_names_that_a_job_declares_hold_where_the_resolver_knows_them(declared: str, weight: float) -> None:
    world = replace(TUNNEL, names=NAMED, comments=(f"guard:egress={declared}",) * 2)
    assert said(world)["reverse-tunnel"] == weight


def test_far_ends_are_shown_with_the_name_that_the_resolver_gave_them() -> None:
    judgement = judged(replace(TUNNEL, names=NAMED))
    (finding,) = [f for f in judgement.findings if f.check == "reverse-tunnel"]
    assert "to 203.0.113.9:443 (relay.example.org) outside" in finding.sentence
    assert judgement.timeline is not None
    assert any("203.0.113.9:443 (relay.example.org)" in event.text for event in judgement.timeline.events)


def test_a_place_without_a_name_may_be_one_that_the_job_named() -> None:
    declared = ("guard:egress=files.example",) * 2
    world = replace(SHORT, talk=(_trainer("203.0.113.9:443", 9000, 90_000),), comments=declared)
    assert "undeclared-egress" not in said(world)
    assert "undeclared-egress" not in said(replace(world, names={(32, 5): ("x.example",)}))
    assert said(replace(world, names=NAMED))["undeclared-egress"] == 0.5


def test_packets_through_a_device_ask_for_a_look_and_are_no_hard_fact() -> None:
    device = Handed(inner="device tun0", inner_local="device tun0", inner_opened=None)
    judgement = judged(replace(TUNNEL, handed=(device,)))
    (finding,) = [f for f in judgement.findings if f.check == "reverse-tunnel"]
    assert (finding.hard, finding.weight, judgement.verdict) == (False, 2.0, Verdict.REVIEW)
    assert "device tun0" in finding.sentence


@pytest.mark.parametrize(("name", "verdict"), [("stalled", Verdict.CLEAR), ("flows-truncated", Verdict.NOTE)])
def test_a_run_of_which_connections_were_left_out_is_not_clear(name: str, verdict: Verdict) -> None:
    """A job can open as many as it likes beside the one that matters."""
    facts = build(SHORT)
    event = frames_of({"events": [{"run": key(7), "at": AT + 60, "name": name}]})["events"]
    events = pl.concat([facts.frames["events"], event])
    (judgement,) = audit_facts(replace(facts, frames={**facts.frames, "events": events})).judgements
    assert judgement.verdict is verdict
    assert ("more connections than a node follows" in judgement.sentence) == (verdict is Verdict.NOTE)
