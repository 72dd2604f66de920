"""A night written by hand: every kind of verdict, with numbers that add up. All invented."""

import math
from collections.abc import Mapping
from dataclasses import replace

from slurm_guard import sums
from slurm_guard.model import (
    Account,
    Audience,
    Audit,
    Bounds,
    Cost,
    Evidence,
    Family,
    Finding,
    Judgement,
    NodeCoverage,
    Outside,
    ProgressSummary,
    Redone,
    Run,
    Severity,
    Skip,
    Timeline,
    TimelineEvent,
    Verdict,
)
from slurm_guard.sitemodel import AlarmBudget, Explained, Precision, Recurrence, Site
from slurm_guard.summodel import NightSum

FROM_AT = 1_790_035_200.0  # 2026-09-22 00:00 UTC
HOUR = 3600
GPU_H = 3_600_000
CLAIMED = 5  # the clear run that nothing outside the job confirmed
STEPS_PER_S = 1.09  # of every run while nothing hinders it
POWER_W = 612.0  # of a GPU at work
STARTUP_S = 840.0  # of a run before its first progress
# Eight GPUs a node, and no run on a GPU of another: what is not named here lies on g05.
NODES = {
    48112: "g01", 48503: "g02", 48207: "g03", 48411: "g03", 48255: "g04", 48300: "g04", 48502: "g06",
    48506: "g06", 48507: "g08",
}  # fmt: skip


def run(job: int, hours: float = 8.0, gpus: int = 8, start_h: float = 2.0, **changes: object) -> Run:
    """A run inside the window."""
    start_at = FROM_AT + start_h * HOUR
    plain = Run(
        id=f"aurora/{job}/{int(start_at)}",
        cluster="aurora",
        job_id=job,
        job=str(job),
        user=f"user{job % 7}",
        uid=20_000 + job % 7,
        account=f"proj{job % 3}",
        partition="gpu",
        qos="normal",
        name="train",
        state="COMPLETED",
        submit_at=start_at - 600,
        start_at=start_at,
        end_at=start_at + hours * HOUR,
        from_at=start_at,
        until_at=start_at + hours * HOUR,
        suspended_s=0,
        nodes=(NODES.get(job, "g05"),),
        n_gpus=gpus,
        gpu_type="h100",
        comment=None,
        work_dir=f"/scratch/{job}",
        stdout=f"/scratch/{job}/out.log",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def split(whole: Run, **shares: float) -> dict[str, int]:
    """A ledger from shares; what is left goes to `progress`, so that it sums to the allocation."""
    ledger = {name: round(share * whole.allocated_gpu_ms) for name, share in shares.items()}
    return {"progress": whole.allocated_gpu_ms - sum(ledger.values()), **ledger}


def finding(of: Run, check: str, sentence: str, **changes: object) -> Finding:
    """A finding with one evidence, about a silent log unless `evidence` says otherwise."""
    evidence = Evidence(
        "GPU work while no progress file grew, 11:30 to 12:11",
        2.65,
        "GPU-h",
        "lake tables windows and files",
        f"slurm-guard lake show windows --job {of.job_id} --from 1790076600 --to 1790079060; "
        f"slurm-guard lake show files --job {of.job_id} --from 1790076600 --to 1790079060",
        "an evaluation that the log names, or a declared one in the job's comment",
    )
    plain = Finding(
        check, of.id, Family.B, Severity.HIGH, 0.97, 2.4, False, Audience.OPERATOR, sentence, (evidence,)
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def logged(of: Run, steps: float) -> ProgressSummary:
    """A line each five steps, from the end of the start-up to the end."""
    return ProgressSummary(
        ("stdout (Hugging Face)",), round(steps / 5), 1, of.from_at + STARTUP_S, of.until_at - 5,
        round(steps) * 1.0, "step", "observed",
    )  # fmt: skip


def steps_of(of: Run, line: Timeline | None) -> float:
    """Through the timeline, where the sampler's own gap goes on as what is beside it; else at full speed."""
    if line is None:
        return STEPS_PER_S * (of.until_at - of.from_at - STARTUP_S)
    known, total = 0.0, 0.0
    for rate in line.progress_per_s:
        known = known if rate is None else rate
        total += known * line.slot_s
    return total


def judgement(
    of: Run, verdict: Verdict, ledger: Mapping[str, int], sentence: str, **changes: object
) -> Judgement:
    """A judgement whose bounds surround what the ledger leaves unexplained."""
    mid = sum(ledger.get(name, 0) for name in ("foreign", "contradiction", "residual"))
    line = changes.get("timeline")
    steps = steps_of(of, line if isinstance(line, Timeline) else None)
    plain = Judgement(
        run=of,
        verdict=verdict,
        classes=(),
        sentence=sentence,
        ledger_gpu_ms=dict(ledger),
        unexplained=Bounds(round(mid * 0.86), mid, round(mid * 1.13)),
        smallest_visible_gpu_ms=int(0.9 * GPU_H),
        cost=Cost(
            1000 * POWER_W * of.n_gpus / STEPS_PER_S,
            "mJ/step",
            "energy",
            "own-cheapest",
            0.021,
            46 * of.n_gpus,
        ),
        score=-4.0,
        findings=(),
        progress=logged(of, steps),
        timeline=None,
        coverage_pct=100.0,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def timeline(
    of: Run,
    slots: int = 480,
    stretch: tuple[int, int] = (180, 400),
    share: float = 0.36,
    gap: tuple[int, int] = (290, 302),
) -> Timeline:
    """Training with a foreign process in the middle and one sampler gap; with a share of 0 the run's own work
    goes on without progress. A step costs the same GPU time everywhere."""
    from_slot, until_slot = stretch
    accounts: dict[str, list[int | None]] = {
        name: [] for name in ("progress", "phase", "foreign", "residual", "idle", "unobserved")
    }
    power: list[float | None] = []
    rate: list[float | None] = []
    slot_s = (of.until_at - of.from_at) / slots
    whole = round(of.n_gpus * slot_s * 1000)
    for i in range(slots):
        unseen, late, other = gap[0] <= i < gap[1], i < 14, from_slot <= i < until_slot
        wave = 1 + 0.02 * math.sin(i / 3)
        foreign = round(whole * share * wave) if other and not unseen else 0
        idle = round(whole * 0.03)
        rest = (round(whole * 0.05) if share > 0 else whole - idle) if other and not unseen else 0
        phase = whole - idle if late else 0
        filled = {"foreign": foreign, "residual": rest, "idle": idle, "phase": phase}
        filled["progress"] = whole - sum(filled.values())
        for name, values in accounts.items():
            values.append((whole if name == "unobserved" else None) if unseen else filled.get(name, 0))
        power.append(None if unseen else of.n_gpus * (350.0 if late else POWER_W) * wave)
        rate.append(None if unseen else STEPS_PER_S * filled["progress"] / (whole - idle))
    at = of.from_at
    events = [
        TimelineEvent(at, None, "run", "job started on g01"),
        TimelineEvent(at + 14 * slot_s, None, "run", "first progress point logged"),
        TimelineEvent(
            at + 176 * slot_s,
            at + until_slot * slot_s,
            "network",
            "1 connection of python3 (pid 47990) to 203.0.113.40:443; 2.0 GiB in, 18 GiB out, "
            "allowed by the site",
        ),
        TimelineEvent(
            at + from_slot * slot_s,
            at + until_slot * slot_s,
            "process",
            "pid 48120 /dev/shm/.cache/worker (uid 20003) on 8 GPUs, no job step of its own",
        ),
        TimelineEvent(at + 179 * slot_s, None, "process", "pid 48103 sshd (uid 20003) started pid 48120"),
        TimelineEvent(at + gap[0] * slot_s, at + gap[1] * slot_s, "run", "sampler restarted: not observed"),
        TimelineEvent(of.until_at, None, "run", "job ended, COMPLETED"),
    ]
    return Timeline(at, slot_s, accounts, power, rate, events)


def ledger_of(line: Timeline) -> dict[str, int]:
    """What the slots sum to."""
    return {name: sum(v for v in values if v is not None) for name, values in line.accounts.items()}


def alert() -> Judgement:
    """A co-tenant on eight GPUs."""
    of = run(48112, name="llama-ft", user="mvance", account="nlp-7")
    line = timeline(of)
    ledger = ledger_of(line)
    ledger["progress"] += of.allocated_gpu_ms - sum(ledger.values())
    n_points = logged(of, steps_of(of, line)).n_points
    foreign = finding(
        of,
        "foreign-process",
        "A process that no step of this job started used all eight GPUs from 05:00 to 08:40.",
        family=Family.A,
        weight=6.0,
        hard=True,
        confidence=0.999,
        attack=("T1496",),
        evidence=(
            Evidence(
                "GPU time of pid 48120 (uid 20003, started 04:59)",
                round(ledger["foreign"] / GPU_H, 2),
                "GPU-h",
                "lake table shares",
                "slurm-guard lake show shares --job 48112 --node g01 --where pid=48120 --from 1790053200 "
                "--to 1790066400  # while it lasts: nvidia-smi pmon on g01",
                "a job step or a site daemon that owns pid 48120",
            ),
            Evidence(
                "processes of the job's own cgroup on the same GPUs",
                8.0,
                "processes",
                "lake table processes",
                "slurm-guard lake show processes --job 48112 --node g01 --from 1790042400 --to 1790071200",
                "",
            ),
        ),
    )
    residual = finding(
        of,
        "work-residual",
        "Steps took 1.09 times the work of the run's own cheapest steps while pid 48120 was there.",
        weight=2.7,
        evidence=(
            Evidence(
                "the run's own work per step inside the stretch, over outside",
                1.09,
                "×",
                "lake tables windows and points",
                "slurm-guard lake show windows --job 48112 --from 1790042400 --to 1790071200 "
                "--columns start_at,node,gpu_index,energy_mj,sm_cycles,busy_ms; "
                "slurm-guard lake show points --job 48112 --from 1790042400 --to 1790071200 "
                "--columns at,step,samples,tokens",
                "a change of batch size logged at 05:00",
            ),
        ),
    )
    steady = finding(
        of,
        "progress-observed",
        "The log grew on disk in step with the claims all night.",
        family=Family.D,
        weight=-1.2,
        evidence=(
            Evidence(
                "points whose claimed time lies inside the seen write",
                n_points - 16.0,
                f"of {n_points:,}",
                "lake table points",
                "slurm-guard lake show points --job 48112 --from 1790042400 --to 1790071200 "
                "--columns at,obs_lo_at,obs_hi_at,step,flags",
                "",
            ),
        ),
    )
    return judgement(
        of,
        Verdict.ALERT,
        ledger,
        "For 3 h 40 min a process outside the job used its GPUs; training ran at 58 % of its speed.",
        classes=("foreign-process",),
        findings=(foreign, residual, steady),
        timeline=line,
        score=3.1,
        coverage_pct=97.5,
        notes=(
            "12 minutes from 06:50, when the sampler restarted.",
            "What pid 48120 computed: counters tell how much work, not which.",
        ),
    )


def review() -> Judgement:
    """Own work left over, and not enough to say more; it went on from a checkpoint of the run before."""
    of = run(48207, hours=5.0, gpus=4, name="vit-sweep", start_h=9.0)
    line = replace(timeline(of, 300, (150, 191), 0.0, (0, 0)), events=[])
    ledger = ledger_of(line)
    steps = round(steps_of(of, line))
    again = round(ledger["progress"] * 600 / steps)
    left = finding(
        of, "busy-while-silent", "The GPUs worked for 41 minutes while the log stood still.", weight=1.6
    )
    plain = judgement(
        of,
        Verdict.REVIEW,
        ledger,
        "2.65 GPU-h of work fall into a silence of the log; a silent evaluation would look the same.",
        findings=(left,),
        score=-1.1,
        timeline=line,
        notes=("Which kernels ran: this GPU has no profiling counters.",),
    )
    redone = Redone(steps - 600.0, 600.0, 600.0, 0.0, 1, 0, 0, again, again)
    return replace(plain, progress=replace(plain.progress, redone=redone))


def explained() -> Judgement:
    """A tunnel that the site knows of."""
    of = run(48255, hours=3.0, gpus=1, name="vscode", start_h=10.0)
    known = finding(
        of,
        "reverse-tunnel",
        "A tunnel to 203.0.113.7:443 was in use for 2 h 10 min: 41 MiB came back on a port of this node.",
        family=Family.F,
        weight=6.0,
        hard=True,
        attack=("T1572",),
        evidence=(
            Evidence(
                "bytes from outside that reappeared on 127.0.0.1:40101 of g04",
                41.0,
                "MiB",
                "lake table relays",
                "slurm-guard lake show relays --job 48255 --node g04 --where pids=20418 --from 1790071200 "
                "--to 1790082000  # while it lasts: ss -tinp on g04",
                "[network] tunnels, where the site allows it for good",
            ),
        ),
    )
    said = Explained(
        12, "reverse-tunnel", "r.okoye", "job-name", True, FROM_AT + 20 * 24 * HOUR,
        "the editor's own tunnel, agreed with the group in ticket 4711",
    )  # fmt: skip
    return judgement(
        of,
        Verdict.ALERT,
        split(of, idle=0.3, phase=0.05),
        known.sentence,
        classes=("reverse-tunnel",),
        findings=(known,),
        score=-1.0,
        explained=(said,),
        left=Verdict.NOTE,
        again=(Recurrence("reverse-tunnel", 3, 7, 3, 0),),
    )


def site() -> Site:
    """What the site had said, and what it came to."""
    return Site(
        digest="9f" * 32,
        up_to=17,
        n_exemptions=2,
        n_nights=16,
        n_asked=21,
        n_disposed=9,
        precision=(
            Precision("verdict", "ALERT", 2, 1, 0, 0.094299, 0.991596),
            Precision("verdict", "REVIEW", 3, 2, 1, 0.146633, 0.947255),
            Precision("check", "foreign-process", 2, 0, 0, 0.158114, 1.0),
            Precision("check", "no-step-rhythm", 0, 0, 1, None, None),
        ),
        budget=AlarmBudget(0.1, 0.0622, 13, 208, 129, 0),
    )


def parked() -> Judgement:
    """An allocation that nothing ran on."""
    of = run(48300, hours=9.5, gpus=2, name="jupyter", state="TIMEOUT", gpu_type=None)
    idle = finding(
        of,
        "parked-allocation",
        "No work on either GPU for 9 h 21 min.",
        family=Family.G,
        severity=Severity.LOW,
        weight=0.0,
        evidence=(
            Evidence(
                "longest stretch without work on any GPU",
                33_660.0,
                "s",
                "lake table windows",
                "slurm-guard lake show windows --job 48300 --from 1790042400 --to 1790076600 "
                "--columns start_at,node,gpu_index,power_mw,busy_ms,sm_ms",
                "work on the GPUs that the sampler did not see",
            ),
        ),
    )
    return judgement(
        of,
        Verdict.NOTE,
        {"idle": of.allocated_gpu_ms - 540_000, "progress": 0, "phase": 540_000},
        "The GPUs were held and idle for 9 h 21 min; nothing is unexplained.",
        classes=("parked",),
        findings=(idle,),
        unexplained=Bounds(0, 0, 0),
        progress=ProgressSummary((), 0, 0, None, None, None, None, "none"),
        cost=Cost(None, "mJ/step", "energy", "none", None, 0),
    )


def not_auditable() -> Judgement:
    """Work without a log."""
    of = run(48411, hours=6.0, gpus=4, name="namd-eq")
    return judgement(
        of,
        Verdict.NOT_AUDITABLE,
        {
            "residual": round(0.97 * of.allocated_gpu_ms),
            "progress": 0,
            "idle": of.allocated_gpu_ms - round(0.97 * of.allocated_gpu_ms),
        },
        "The GPUs worked for 5 h 49 min and no training progress was found in any file the job wrote.",
        classes=("no-progress-source",),
        smallest_visible_gpu_ms=None,
        unexplained=Bounds(0, round(0.97 * of.allocated_gpu_ms), round(0.97 * of.allocated_gpu_ms)),
        progress=ProgressSummary((), 0, 0, None, None, None, None, "none", ("out.log: no known format",)),
        cost=Cost(None, "mJ/step", "energy", "none", None, 0),
    )


def clear(i: int) -> Judgement:
    """An honest run."""
    of = run(48500 + i, hours=1.5 + 0.7 * i, gpus=(1, 2, 4, 8)[i % 4], start_h=0.5 * i, name=f"pretrain-{i}")
    small = 0.004 * (i % 3)
    ledger = split(of, idle=0.02 + 0.01 * i, phase=0.05, wait=0.03, residual=small)
    changes: dict[str, object] = {}
    if i == CLAIMED:
        plain = judgement(of, Verdict.CLEAR, ledger, "")
        changes["progress"] = replace(plain.progress, trust="claimed-only")
        changes["unexplained"] = replace(plain.unexplained, hi_gpu_ms=ledger["progress"])
    return judgement(
        of,
        Verdict.CLEAR,
        ledger,
        "Logged progress explains the work."
        if small == 0
        else "What is left over is within the price's uncertainty.",
        score=-7.0,
        **changes,
    )


def night() -> Audit:
    """One of each, eight clear runs, and something that could not be read."""
    judgements = (alert(), review(), explained(), parked(), not_auditable(), *(clear(i) for i in range(8)))
    return Audit(
        cluster="aurora",
        from_at=FROM_AT,
        until_at=FROM_AT + 24 * HOUR,
        version="0.1.0",
        settings={"least_gpu_h": 1.0, "least_share": 0.05, "silence_s": 900.0, "observe_only": True},
        judgements=judgements,
        outside=(
            Outside(
                "g02",
                "GPU-5f2c",
                FROM_AT + 10 * HOUR,
                FROM_AT + 10.5 * HOUR,
                1_620_000,
                61022,
                20005,
                "/usr/bin/python3.11",
                None,
                "Process 61022, python3.11, of user5 (uid 20005) worked 1620 s on GPU-5f2c of g02; its node "
                "saw it in job 48633, of which this audit has no run then.",
                48633,
            ),
        ),
        skips=(
            Skip(
                "g05/sealed/48001.jsonl", "quarantined", "line 204 is not JSON; the file stands in quarantine"
            ),
            Skip("job 48620", "no-gpu-record", "accounting shows a GPU, no sampler saw one"),
            Skip("check rhythm", "too-few-references", "3 clean references, 20 needed"),
        ),
        nodes=(
            NodeCoverage("g01", 8, round(190.4 * GPU_H), FROM_AT + 24 * HOUR, "sampler restarted at 06:50"),
            *(NodeCoverage(f"g{k:02}", 8, 192 * GPU_H, FROM_AT + 24 * HOUR, "") for k in (2, 3, 4, 5, 6, 8)),
            NodeCoverage("g07", 8, 0, None, "no file since the window began"),
        ),
        site=site(),
        sums=sums.groups(judgements, "aurora"),
        trend=trend(judgements),
    )


EXPLAINED_BEFORE = (2, 4, 7)  # nights back on which the site explained the tunnel, as it does now


def trend(judgements: tuple[Judgement, ...], n_before: int = 17, missing: int = 6) -> tuple[NightSum, ...]:
    """Nights before, of which one was never audited, and this one."""
    tonight = sums.of_night(judgements, (FROM_AT, FROM_AT + 24 * HOUR))
    found = []
    for k in range(n_before, 0, -1):
        size = 1 + 0.3 * math.sin(2.1 * k)
        part = {
            name: round(size * getattr(tonight, name) * (1 + 0.4 * math.cos(k * i)))
            for i, name in enumerate(("idle_gpu_ms", "unobserved_gpu_ms", "unmatched_gpu_ms"), 1)
        }
        mid = round((0.2 + (k % 5 == 0)) * size * tonight.unexplained_gpu_ms)
        explained = round(size * tonight.explained_gpu_ms)
        before = replace(
            tonight,
            from_at=FROM_AT - 24 * HOUR * k,
            until_at=FROM_AT - 24 * HOUR * (k - 1),
            n_alert=int(k % 5 == 0) + (k in EXPLAINED_BEFORE),
            n_explained=int(k in EXPLAINED_BEFORE),
            n_review=k % 3,
            allocated_gpu_ms=explained + mid + sum(part.values()),
            explained_gpu_ms=explained,
            unexplained_gpu_ms=mid,
            unexplained_lo_gpu_ms=round(0.8 * mid),
            **part,
        )
        if k != missing:
            found.append(before)
    return sums.trend(found, tonight)


def empty_night() -> Audit:
    """Nobody used a GPU."""
    return replace(night(), judgements=(), outside=(), skips=(), nodes=(), site=None, sums=(), trend=())


ACCOUNTS = tuple(account.value for account in Account)
