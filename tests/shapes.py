"""Named worlds: what the checks' own examples speak of, built with tests/builders.py."""

import json
import random
from dataclasses import replace
from functools import cache

from slurm_guard.audit.facts import Facts, Snapshot, Traces
from slurm_guard.audit.run import audit_and_remember
from slurm_guard.config import AuditConfig, NetworkConfig
from slurm_guard.history import PastCost, PastTrace
from slurm_guard.lake import history
from tests.builders import AT, UID, Log, Tenant, World, build
from tests.talk import MIB, NODE_AT, Handed, Talk

TRAIN = Tenant("train", 60, 1e9, share=0.95, period_s=6.0, written_b=10_000)
HONEST = World(tenants=(TRAIN,), log=Log())
OTHER = Tenant("other", 900, 9000, share=0.45, level=0.9, exe="/tmp/x/worker", ppid=900)
# A child of the trainer, of the same program: perhaps a part of it.
EVALUATOR = Tenant("eval", 1200, 1e9, share=0.4, ppid=100, parents=("train", "bash"))
STAYING = replace(EVALUATOR, from_s=60)
LAUNCHED = replace(TRAIN, ppid=60, parents=("torchrun", "bash"))
FLAT = replace(TRAIN, period_s=None, share=0.99)
SHORT = Log(step_s=0.1, every=300)

SHAPES: dict[str, World] = {
    "honest": HONEST,
    "no-data": World(heard=False),
    "parked": World(),
    "co-tenant": replace(
        HONEST,
        tenants=(TRAIN, OTHER),
        log=Log(paces=((0, 6.0), (900, 8.4), (9000, 6.0))),
    ),
    "rollout": replace(
        HONEST,
        tenants=(
            replace(TRAIN, pauses=tuple((t, t + 300.0) for t in range(600, 10_800, 600)), share=0.95),
            Tenant(
                "server",
                60,
                1e9,
                share=0.9,
                ppid=60,
                exe="/usr/bin/vllm",
                pauses=tuple((t - 300.0, float(t)) for t in range(600, 11_400, 600)),
            ),
        ),
        log=Log(every=25, step_s=12.0),
    ),
    "victim": replace(
        HONEST,
        tenants=(TRAIN, Tenant("alien", 1200, 7200, share=0.55, uid=2000, job_id=None)),
        log=Log(paces=((0, 6.0), (1200, 9.0), (7200, 6.0))),
    ),
    "wrong-gpu": World(
        board_gpus=3,
        tenants=(TRAIN, Tenant("stray", 1800, 7200, share=0.8, gpus=(1,), ppid=70)),
        log=Log(),
    ),
    "unlisted-elsewhere": World(
        board_gpus=3,
        tenants=(TRAIN, Tenant("hidden", 1800, 7200, share=0.8, gpus=(1,), ppid=70, listed=False)),
        log=Log(),
    ),
    "unlisted-guest": replace(
        HONEST,
        tenants=(
            replace(TRAIN, share=0.6),
            Tenant("alien", 1200, 7200, share=0.35, uid=2000, job_id=None, listed=False),
        ),
    ),
    "idle-holder": World(
        board_gpus=3,
        tenants=(TRAIN, Tenant("hidden", 1800, 7200, share=0.0, gpus=(1,), ppid=70, listed=False)),
        log=Log(),
    ),
    "accounted-holder": World(
        board_gpus=3,
        tenants=(
            TRAIN,
            Tenant("hidden", 1800, 7200, share=0.0, gpus=(2,), ppid=70, listed=False),
            Tenant("other", 60, 1e9, share=0.9, gpus=(2,), uid=2000, job_id=8),
        ),
        log=Log(),
    ),
    "declared-right": replace(HONEST, comments=("guard:kind=train;target=steps:1800;budget=8",) * 2),
    "declared-serving": replace(HONEST, comments=("guard:kind=inference",) * 2),
    "declared-training": replace(HONEST, log=None, comments=("guard:kind=pretrain",) * 2),
    "beyond-target": replace(HONEST, comments=("guard:target=steps:1000",) * 2),
    "beyond-budget": replace(HONEST, comments=("guard:budget=1.5 gpu-h",) * 2),
    "intent-required": replace(HONEST, config=AuditConfig(least_gpu_h=0.2, intent_partitions=["gpu"])),
    "leftover": replace(
        HONEST,
        watch_s=3600,
        tenants=(replace(TRAIN, until_s=10_800), Tenant("rest", 10_000, 13_000, share=0.5)),
    ),
    "brief-leftover": replace(HONEST, watch_s=3600, tenants=(replace(TRAIN, until_s=10_860),)),
    "slow-network": replace(
        HONEST,
        tenants=(replace(TRAIN, until_s=5400), Tenant("train", 5400, 1e9, 0.95, 0.52, period_s=9.0)),
        log=Log(paces=((0, 6.0), (5400, 9.0))),
    ),
    "slow-network-seen": replace(
        HONEST,
        tenants=(
            replace(TRAIN, until_s=5400, pipe=0.6),
            Tenant("train", 5400, 1e9, 0.95, 0.52, period_s=9.0, pipe=0.42),
        ),
        log=Log(paces=((0, 6.0), (5400, 9.0))),
    ),
    "light-diversion": replace(
        HONEST,
        tenants=(
            replace(TRAIN, until_s=5400, pipe=0.6),
            Tenant("train", 5400, 1e9, 0.95, 0.62, period_s=9.0, pipe=0.65),
        ),
        log=Log(paces=((0, 6.0), (5400, 9.0))),
    ),
    "light-filler": replace(
        HONEST,
        tenants=(
            replace(TRAIN, until_s=5400, pipe=0.6),
            Tenant("train", 5400, 1e9, 1.0, 0.4, pipe=0.7),
        ),
        log=Log(until_s=5400),
    ),
    "late-diversion": replace(
        HONEST,
        tenants=(replace(TRAIN, period_s=None),),
        log=Log(paces=((0, 6.0), (5400, 9.0))),
    ),
    "sweep": replace(
        HONEST,
        log=Log(
            restarts=(1800, 3600, 5400, 7200, 9000),
            paces=((0, 6.0), (1800, 9.0), (3600, 7.2), (5400, 9.0), (7200, 6.0), (9000, 7.2)),
        ),
    ),
    "brief-sweep": replace(
        HONEST,
        log=Log(
            restarts=tuple(range(300, 10_800, 300)),
            paces=tuple((t, (6.0, 9.0, 7.2)[t // 300 % 3]) for t in range(0, 10_800, 300)),
        ),
    ),
    "retrained": replace(HONEST, log=Log(restarts=(3600,))),
    "evaluator": replace(
        HONEST,
        tenants=(
            replace(TRAIN, period_s=None),
            replace(EVALUATOR, pauses=tuple((t - 600.0, float(t)) for t in range(2100, 11_000, 900))),
        ),
        log=Log(paces=tuple(p for t in range(1200, 10_800, 900) for p in ((t, 9.0), (t + 300.0, 6.0)))),
    ),
    "helper-stays": replace(
        HONEST,
        tenants=(replace(TRAIN, period_s=None), replace(EVALUATOR, from_s=3600)),
        log=Log(paces=((0, 6.0), (3600, 8.4))),
    ),
    "child-stays": replace(HONEST, tenants=(TRAIN, STAYING)),
    "same-script": replace(HONEST, tenants=(TRAIN, replace(STAYING, script="train.py"))),
    "speaking-child": replace(
        HONEST,
        tenants=(TRAIN, STAYING),
        talk=(
            Talk("127.0.0.1:51000", 60, 10_790, "train", TRAIN.exe, False, MIB, MIB, "127.0.0.1:29500"),
            Talk("127.0.0.1:29500", 60, 10_790, "eval", TRAIN.exe, True, MIB, MIB, "127.0.0.1:51000"),
        ),
    ),
    "launched-apart": replace(
        HONEST, gpus=2, tenants=(LAUNCHED, replace(LAUNCHED, name="other", gpus=(1,), share=0.9))
    ),
    "coupled-solvers": replace(
        HONEST,
        log=None,
        tenants=(
            replace(LAUNCHED, name="fluid", exe="/opt/fluid"),
            replace(LAUNCHED, name="solid", exe="/opt/solid", share=0.4),
        ),
    ),
    "unlogged-pair": replace(HONEST, log=None, tenants=(TRAIN, replace(OTHER, until_s=1e9))),
    "rare-log": replace(HONEST, log=Log(every=150)),
    "hang": replace(
        HONEST,
        tenants=(replace(TRAIN, until_s=5400), Tenant("train", 5400, 1e9, 1.0, 0.25)),
        log=Log(until_s=5400),
    ),
    "hang-seen": replace(
        HONEST,
        tenants=(
            replace(TRAIN, until_s=5400, pipe=0.6),
            Tenant("train", 5400, 1e9, 1.0, 0.25, pipe=0.06),
        ),
        log=Log(until_s=5400),
    ),
    "filler-tail": replace(HONEST, log=Log(until_s=5400)),
    "idle-claims": World(log=Log()),
    "decoupled": replace(HONEST, tenants=(replace(FLAT, pauses=((4000, 5200),)),)),
    "short-steps": replace(HONEST, tenants=(FLAT,), log=Log(step_s=0.1, every=300)),
    "hashing-under-log": replace(HONEST, tenants=(replace(FLAT, pipe=0.98, floats=0.0),), log=SHORT),
    "trained-with-pipes": replace(HONEST, tenants=(replace(FLAT, pipe=0.98, floats=0.02),), log=SHORT),
    "integer-search": replace(
        HONEST, tenants=(replace(FLAT, pipe=0.98, floats=0.0),), log=replace(SHORT, losses=False)
    ),
    "hashing-after-training": replace(
        HONEST,
        tenants=(
            replace(FLAT, until_s=5400, pipe=0.15, floats=0.4),
            replace(FLAT, from_s=5400, pipe=0.98, floats=0.0),
        ),
        log=SHORT,
    ),
    "printed-steps": replace(HONEST, tenants=(FLAT,), log=Log(jitter=0.0, loss_noise=0.0)),
    "printed-times": replace(HONEST, tenants=(FLAT,), log=Log(clock=1.0, took_s=6.0001)),
    "whole-seconds": replace(HONEST, log=Log(clock=1.0)),
    "buffered": replace(HONEST, log=Log(every=1, clock=None, lump=69)),
    "buffered-clock": replace(HONEST, log=Log(every=1, lump=69)),
    "cycles-only": replace(HONEST, meters=("cycles",)),
    "cycles-only-diversion": replace(
        HONEST,
        tenants=(replace(TRAIN, period_s=None),),
        log=Log(paces=((0, 6.0), (5400, 9.0))),
        meters=("cycles",),
    ),
    "no-meter": replace(HONEST, meters=()),
    "instance": replace(HONEST, meters=(), timed=False),
    "instance-pair": replace(
        HONEST, meters=(), timed=False, tenants=(TRAIN, replace(OTHER, exe=TRAIN.exe, script="train.py"))
    ),
    "instance-shared": replace(HONEST, meters=(), timed=False, tenants=(TRAIN, OTHER)),
    "instance-victim": replace(
        HONEST, meters=(), timed=False, tenants=(TRAIN, replace(OTHER, uid=2000, job_id=None))
    ),
    "instance-hopper": replace(HONEST, meters=("gpm", "clock"), timed=False),
    "instance-hopper-diversion": replace(
        HONEST,
        meters=("gpm", "clock"),
        timed=False,
        tenants=(replace(TRAIN, period_s=None),),
        log=Log(paces=((0, 6.0), (5400, 9.0))),
    ),
    # A hot board is slower and draws less: energy falls where time rises.
    "hot": replace(
        HONEST,
        tenants=(replace(TRAIN, until_s=5400), replace(TRAIN, from_s=5400, level=0.5)),
        log=Log(paces=((0, 6.0), (5400, 7.8))),
    ),
    "prepares-first": replace(
        HONEST,
        tenants=(replace(TRAIN, from_s=1230), Tenant("prepare", 30, 1220, share=0.8)),
        log=Log(from_s=1260),
    ),
    "backdated": replace(HONEST, log=Log(flags=("backdated",))),
    "replayed-days-later": replace(
        HONEST, tenants=(FLAT,), log=Log(apart_s=-400_000.0, flags=("backdated",))
    ),
    "replayed-over-noise": replace(
        HONEST, tenants=(replace(TRAIN, period_s=None, share=0.8),), log=Log(apart_s=-400_000.0)
    ),
    "model-time": replace(HONEST, log=Log(apart_s=-8e8, runs=600.0, flags=("backdated",))),
    "copied-log": replace(HONEST, log=Log(apart_s=-400_000.0, lump=100_000, flags=("bulk",))),
    "eight-alike": replace(
        HONEST, gpus=8, board_gpus=8, tenants=(replace(TRAIN, gpus=tuple(range(8)), share=0.7),)
    ),
    "stages": replace(
        HONEST,
        gpus=8,
        board_gpus=8,
        tenants=tuple(replace(TRAIN, gpus=(g,), share=0.4 + 0.06 * g) for g in range(8)),
    ),
    "one-of-eight": replace(
        HONEST,
        gpus=8,
        board_gpus=8,
        tenants=(
            replace(TRAIN, gpus=tuple(range(1, 8)), share=0.7),
            replace(TRAIN, gpus=(0,), share=0.7, until_s=5400),
            replace(TRAIN, gpus=(0,), share=0.93, from_s=5400),
        ),
    ),
    "one-of-eight-piped": replace(
        HONEST,
        gpus=8,
        board_gpus=8,
        tenants=(
            replace(TRAIN, gpus=tuple(range(1, 8)), share=0.7, pipe=0.5),
            replace(TRAIN, gpus=(0,), share=0.7, until_s=5400, pipe=0.5),
            replace(TRAIN, gpus=(0,), share=0.93, from_s=5400, pipe=0.5),
        ),
    ),
    "no-ticket": replace(HONEST, ticket=False, log=None),
    "edited": replace(HONEST, comments=("guard:kind=pretrain", "guard:kind=serving")),
    "unsealed": replace(HONEST, seal=False),
    "no-log": replace(HONEST, log=None),
}

# What honest jobs and others say to the network. OUT is outside, 10.0.0.1 the login node.
UPDATE = Talk(exe="/home/ann/.cache/update")  # idle, opened outwards, of a process that is not on the GPU
HELD = replace(UPDATE, out_b=20 * MIB, in_b=2 * MIB)
STORAGE = tuple(
    Talk(f"198.51.100.{k % 3}:443", 300.0 * k, 300.0 * k + 90, "train", "/usr/bin/python3", True, 80 * MIB,
         9000, f"{NODE_AT}:{42_000 + k}")
    for k in range(30)
)  # fmt: skip
RENDEZVOUS = Talk("127.0.0.1:29500", 30, 10_790, "train", "/usr/bin/python3", True, 2 * MIB, 2 * MIB,
                  "127.0.0.1:51000")  # fmt: skip
DATABASE = Talk("10.0.7.7:5432", 30, 10_790, "train", "/usr/bin/python3", True, 4 * MIB, 900 * MIB)
# Clients of one process that live side by side: what moved on both in the same look is chance.
BESIDE = Handed("198.51.100.1:443", "127.0.0.1:29500", who=("train",), exe="/usr/bin/python3",
                outer_b=(9000, 900 * MIB), inner_b=(2 * MIB, 2 * MIB), coupled=0.01, n_coupled=7)  # fmt: skip
LOGGER = Handed("198.51.100.8:443", "127.0.0.1:33100", who=(301,), exe="/opt/env/bin/wandb-core",
                inner_opened=False, inner_local="127.0.0.1:33000", outer_b=(2 * MIB, 40 * MIB),
                inner_b=(38 * MIB, 1 * MIB))  # fmt: skip
TO_LOGGER = Talk(
    "127.0.0.1:33000", 30, 10_790, "train", "/usr/bin/python3", True, 38 * MIB, MIB, "127.0.0.1:33100"
)
PROXY = replace(LOGGER, exe="/home/ann/bin/p", who=(305,))
NOTEBOOK = Handed(
    "10.0.0.1:51514", "127.0.0.1:40101", who=(302,), exe="/opt/env/bin/jupyter-lab", outer_opened=False
)

SHAPES |= {
    "busy-clients": replace(
        HONEST,
        talk=(
            *STORAGE,
            RENDEZVOUS,
            DATABASE,
            Talk("198.51.100.22:22", 40, 47, 310),
            Talk("10.0.0.1:22", 50, 900, 311),
        ),
        handed=(BESIDE,),
    ),
    "logger": replace(
        HONEST,
        talk=(
            TO_LOGGER,
            Talk("198.51.100.8:443", 30, 10_790, 301, "/opt/env/bin/wandb-core", True, 40 * MIB, 2 * MIB),
            Talk("198.51.100.9:443", 30, 10_790, 304, "/opt/env/bin/wandb-core", True, 900_000, 90_000),
        ),
        handed=(LOGGER,),
    ),
    "ring": replace(
        HONEST,
        talk=(
            Talk(f"{NODE_AT}:40000", 30, 10_790, "train", "/usr/bin/python3"),
            *(
                Talk(f"{NODE_AT}:{2000 + k}", 60, 61, "train", "/usr/bin/python3", True, 100, 100)
                for k in range(200)
            ),
        ),
        handed=(Handed(f"{NODE_AT}:40001", "127.0.0.1:40002", who=("train",), exe="/usr/bin/python3"),),
    ),
    "notebook": replace(HONEST, handed=(NOTEBOOK,)),
    "crawler": replace(
        HONEST,
        talk=tuple(
            Talk(f"198.51.{k // 250}.{k % 250}:443", 60, 62, 303, "/usr/bin/python3", True, 700, 40_000)
            for k in range(2000)
        ),
    ),
    "allowed-tunnel": replace(HONEST, handed=(Handed(),), network=NetworkConfig(tunnels=["203.0.113.0/24"])),
    "idle-declared": replace(HONEST, talk=(UPDATE,), comments=("guard:egress=203.0.113.9:443",) * 2),
    "tunnel": replace(HONEST, talk=(HELD,), handed=(Handed(),)),
    "tunnel-and-work": replace(SHAPES["co-tenant"], talk=(HELD,), handed=(Handed(),)),
    "tunnel-to-login": replace(HONEST, handed=(Handed("10.0.0.1:22", "127.0.0.1:8888"),)),
    "asking-worker": replace(HONEST, handed=(Handed(led=False),)),
    "faint-tunnel": replace(HONEST, handed=(Handed(coupled=0.25, n_coupled=4),)),
    "idle-tunnel": replace(HONEST, talk=(UPDATE,)),
    "thin-line": replace(
        SHAPES["co-tenant"],
        talk=(Talk("203.0.113.77:3333", 905, 8990, "other", "/tmp/x/worker", True, 90_000, 400_000),),
    ),
    "proxy": replace(HONEST, talk=(replace(TO_LOGGER, who=306, exe="/home/ann/bin/c"),), handed=(PROXY,)),
    "proxy-for-others": replace(
        HONEST, handed=(replace(PROXY, inner="10.0.9.9:51000", inner_local=f"{NODE_AT}:1080"),)
    ),
    "undeclared": replace(HONEST, talk=STORAGE, comments=("guard:egress=none", "guard:egress=none")),
    "scan": replace(
        HONEST,
        talk=tuple(
            Talk(f"10.9.{k // 250}.{k % 250}:22", 60 + k, 61 + k, 900 + k, "/usr/bin/nc", True, 20, 40)
            for k in range(500)
        ),
    ),
}

# Seventeen checkpoints, ten minutes apart; each is 400 MiB where somebody writes it.
SAVES = tuple(610.0 + 600.0 * k for k in range(17))
SAVED = replace(HONEST, log=Log(saves=SAVES))
WRITER = Tenant("saver", 60, 1e9, gpus=(), ppid=100, parents=("train", "bash"))
SHAPES |= {
    "saved-checkpoints": replace(
        SAVED, tenants=(replace(TRAIN, bursts=tuple((t + 15, 400 * MIB) for t in SAVES)),)
    ),
    "saved-by-helper": replace(SAVED, tenants=(replace(TRAIN, written_b=700), WRITER)),
    "saved-unheard": replace(SAVED, tenants=(replace(TRAIN, written_b=None),)),
    "saved-on-disk": replace(
        SAVED,
        tenants=(replace(TRAIN, written_b=700),),
        saved=tuple((t + 20, int((t - 120) / 6), 400 * MIB) for t in SAVES),
    ),
    "claimed-saves": replace(SAVED, tenants=(replace(TRAIN, written_b=700),)),
    "integer-hashing": replace(
        HONEST,
        tenants=(replace(FLAT, pipe=0.95, floats=0.0, dram=0.0),),
        log=replace(SHORT, losses=False),
    ),
    "integer-unlogged": replace(HONEST, tenants=(replace(FLAT, pipe=0.95, floats=0.0, dram=0.0),), log=None),
}
SHAPES["integer-declared"] = replace(SHAPES["integer-hashing"], comments=("guard:kind=sieve",) * 2)


def snapshot(*listen: tuple[str, int], **parts: object) -> str:
    """A hook's snapshot of the network: (place, uid) of each listener, and other parts."""
    sockets = [
        {"proto": "tcp", "local": at, "peer": "0.0.0.0:0", "state": "LISTEN", "uid": uid}
        for at, uid in listen
    ]
    whole = {
        "listen": sockets,
        "established": [],
        "interfaces": ["eth0", "lo"],
        "routes": [],
        "nameservers": [],
    }
    return json.dumps({**whole, "truncated": False, "why": {}, **parts})


SHAPES |= {
    "same-network": replace(
        HONEST,
        nets=(
            snapshot(("0.0.0.0:22", 0), ("127.0.0.1:8888", UID)),
            snapshot(("0.0.0.0:22", 0), ("127.0.0.1:8888", UID), ("127.0.0.1:9999", UID + 1)),
        ),
    ),
    "network-left-open": replace(
        HONEST,
        nets=(
            snapshot(("0.0.0.0:22", 0)),
            snapshot(("0.0.0.0:22", 0), ("127.0.0.1:2222", UID), interfaces=["eth0", "lo", "wg0"]),
        ),
    ),
}


def wall(n_rules: int = 2, *, policy: str = "drop", **parts: object) -> dict[str, object]:
    """A node's packet filters, with one chain."""
    chain = {
        "table": "inet filter",
        "chain": "input",
        "hook": "input 0",
        "policy": policy,
        "n_rules": n_rules,
    }
    chains = [{**chain, "digest": f"{n_rules:016x}"}]
    whole = {"generation": n_rules, "tables": ["inet filter"], "chains": chains, "n_chains": 1, "legacy": []}
    return {**whole, "n_rules": n_rules, **parts}


ROUTE, OTHER_ROUTE = "0.0.0.0/0 via 10.1.0.1 dev eth0", "0.0.0.0/0 via 10.1.0.9 dev eth0"
SHAPES["network-rerouted"] = replace(
    HONEST,
    nets=(
        snapshot(routes=[ROUTE], kinds={}, rules=[], firewall=wall()),
        snapshot(routes=[OTHER_ROUTE], kinds={}, rules=[], firewall=wall(0, policy="accept")),
    ),
)


# Runs beside comparable ones of earlier nights: (the shape of those, their users).
TOKENS = replace(HONEST, log=Log(tokens=4096))
OTHERS, BY_HERSELF = (2001, 2001, 2002, 2002, 2003, 2003), (UID,) * 5
PAST: dict[str, tuple[str, tuple[int, ...]]] = {
    "as-its-peers": ("as-its-peers", OTHERS),
    "dear-all-along": ("as-its-peers", OTHERS),
    "dearer-than-before": ("as-its-peers", BY_HERSELF),
    "larger-steps": ("honest", OTHERS),
}
SHAPES |= {
    "as-its-peers": replace(TOKENS, seed=2),
    "dear-all-along": replace(
        TOKENS, log=Log(tokens=4096, step_s=8.0), tenants=(replace(TRAIN, period_s=8.0),)
    ),
    "larger-steps": replace(HONEST, log=Log(step_s=8.0), tenants=(replace(TRAIN, period_s=8.0),)),
}
SHAPES["dearer-than-before"] = SHAPES["dear-all-along"]


# Runs whose log may be another's of the night before: (the shape of that, its user).
SEEN: dict[str, tuple[str, int]] = {
    "other-seed": ("honest", UID),
    "repeated": ("honest", UID),
    "printed-again": ("seeded", 2001),
}
SHAPES |= {
    "other-seed": replace(HONEST, seed=2),
    "repeated": HONEST,
    "seeded": replace(HONEST, log=Log(loss_seed=9)),
    "printed-again": replace(
        HONEST, tenants=(replace(FLAT, script="worker.py"),), log=Log(step_s=5.0, loss_seed=9)
    ),
}


# A log that tells the size of its model: 8 billion parameters at a quarter of the board's peak. 4 operations
# per parameter and token at the fastest mode of an H100 (3,958 TFLOP/s) make 742,125 tokens in 6 seconds.
SIZED = Log(tokens=32_768, params=8_000_000_000, dense=8_000_000_000)
TOO_FAST = replace(SIZED, tokens=3 * 742_125)
SHAPES |= {
    "sized": replace(HONEST, log=SIZED),
    "counted-twice": replace(HONEST, log=replace(SIZED, tokens=4 * 32_768)),
    "too-fast": replace(HONEST, log=TOO_FAST),
    "too-fast-alone": replace(HONEST, tenants=(replace(TRAIN, period_s=None),), log=TOO_FAST),
    "too-fast-unknown-gpu": replace(HONEST, log=TOO_FAST, model="Some Board"),
    # Four records tell of no cheap mode: no cost of its own.
    "sized-short": replace(HONEST, log=replace(SIZED, every=450)),
    "dear-and-short": replace(HONEST, log=replace(SIZED, every=450, tokens=64)),
    "dear-tokens": replace(HONEST, log=replace(SIZED, tokens=64)),
    "tiny-model": replace(HONEST, log=replace(SIZED, tokens=64, params=10_000_000, dense=10_000_000)),
}


def facts_of(name: str) -> Facts:
    """A shape as the audit is given it; the run in question is job 7."""
    facts = build(SHAPES[name])
    if name in SEEN:
        shape, uid = SEEN[name]
        return replace(facts, traces=as_traces(traces_of(shape, uid)))
    if name not in PAST:
        return facts
    shape, uids = PAST[name]
    return replace(facts, costs=as_past(earlier(shape, uids)))


@cache
def costs_of(shape: str) -> tuple[PastCost, ...]:
    """What the audit of a shape by itself leaves of job 7."""
    return tuple(row for row in audit_and_remember(build(SHAPES[shape]))[1] if row.run.startswith("c/7/"))


def earlier(shape: str, uids: tuple[int, ...], *, times: float = 1.0, night: int = 1) -> list[PastCost]:
    """What audits left of one run of this shape for each user, three runs a night before job 7's, its costs
    within 1 % of `times` what they were. `night`: the first of those before."""
    rng = random.Random(f"{uids} {times}")
    rows = []
    for k, uid in enumerate(uids):
        before_s = 86_400.0 * (night + k // 3)
        one = times * (1 + 0.01 * rng.uniform(-1, 1))
        rows += [
            replace(
                row,
                run=f"c/{night}{k}{uid}/{int(AT - before_s)}",
                uid=uid,
                from_at=row.from_at - before_s,
                until_at=row.from_at - before_s + 80_000.0,
                theta=row.theta * one,
                mean_cost=row.mean_cost * one,
            )
            for row in costs_of(shape)
        ]
    return rows


def as_past(rows: list[PastCost]) -> Snapshot:
    """Rows as an audit is given them."""
    found = history.snapshot("costs", history.frame_of("costs", rows))
    return Snapshot(found.frame, found.sha256, found.n_nights)


@cache
def traces_of(shape: str, uid: int = UID, job_id: int = 6) -> tuple[PastTrace, ...]:
    """What the audit of a shape left of its log, the night before, as another job of this user."""
    rows: list[PastTrace] = []
    audit_and_remember(build(SHAPES[shape]), None, None, rows.append)
    day_s = 86_400.0
    return tuple(
        replace(
            row,
            run=f"c/{job_id}/{int(AT - day_s)}",
            job_id=job_id,
            uid=uid,
            from_at=row.from_at - day_s,
            until_at=row.from_at,
        )
        for row in rows
    )


def as_traces(rows: tuple[PastTrace, ...]) -> Traces:
    """Rows as an audit is given them."""
    found = history.snapshot("traces", history.frame_of("traces", rows))
    return Traces(found.frame, found.sha256, found.n_nights)
