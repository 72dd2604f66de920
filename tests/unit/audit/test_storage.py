"""What was written, found on disk and read beside a log; and that nobody is asked over what nobody counts."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from slurm_guard.audit.facts import Facts
from slurm_guard.audit.run import audit_facts
from slurm_guard.audit.storage import saves_of
from slurm_guard.audit.track import Mark, Track
from slurm_guard.model import Judgement, Verdict
from tests.builders import AT, NODE, Log, Tenant, World, build, key, run_of
from tests.shapes import SAVES, SHAPES, TRAIN

MIB = 1 << 20
CHECK = "claimed-checkpoints"
CLAIMED = SHAPES["claimed-saves"]
QUIET = replace(TRAIN, written_b=700)
BELOW = {"ppid": 100, "parents": ("train", "bash")}


def _judged(facts: Facts) -> Judgement:
    return next(j for j in audit_facts(facts).judgements if j.run.job_id == 7)


def _is_asked(facts: Facts) -> bool:
    return CHECK in [f.check for f in _judged(facts).findings]


def _beside(*tenants: Tenant, **more: Any) -> World:
    return replace(CLAIMED, tenants=(QUIET, *tenants), **more)


def _with(facts: Facts, table: str, **cells: Any) -> Facts:
    """The facts with one more row."""
    row = pl.DataFrame(
        [{"cluster": "c", "node": NODE, **cells}], schema=facts.frames[table].schema, orient="row"
    )
    return replace(facts, frames={**facts.frames, table: pl.concat([facts.frames[table], row])})


def _mark(at: float, phase: str, step: int | None = None) -> Mark:
    return Mark(at, at, True, step, None, None, None, phase, 0, ())


@pytest.mark.parametrize(
    ("marks", "times"),
    [
        ([("train", 1), ("checkpoint", None), ("checkpoint", None), ("train", 2)], (1.0,)),
        ([("train", 1), ("checkpoint", 1), ("train", 2), ("checkpoint", 1), ("train", 3)], (1.0,)),
        ([("train", 1), ("checkpoint", 1), ("train", 2), ("checkpoint", 2)], (1.0, 3.0)),
        ([("train", 1), ("checkpoint", None), ("train", 2), ("checkpoint", None)], (1.0, 3.0)),
        ([("checkpoint", 4), ("eval", None), ("checkpoint", 5)], (0.0,)),
        ([("train", 1)], ()),
    ],
)
def test_lines_about_one_save_are_one(marks: list[tuple[str, int | None]], times: tuple[float, ...]) -> None:
    track = Track(marks=tuple(_mark(float(k), phase, step) for k, (phase, step) in enumerate(marks)))

    assert saves_of(track) == times


@pytest.mark.parametrize(
    "tenant",
    [
        Tenant("bash", 0, 1e9, gpus=(), exe="/bin/bash", ppid=1),
        Tenant("launcher", 0, 1e9, gpus=(), ppid=1, script="/env/bin/torchrun train.py"),  # has pid 101
        Tenant("launcher", 0, 1e9, gpus=(), ppid=1, script="-m torch.distributed.run train.py"),
    ],
)
def test_shells_and_launchers_write_no_checkpoints(tenant: Tenant) -> None:
    trained = replace(QUIET, ppid=101)
    world = replace(CLAIMED, tenants=(trained, tenant))

    assert _is_asked(build(world))


def test_a_child_that_ended_is_in_its_parents_bytes() -> None:
    savers = [Tenant(f"s{k}", t, t + 60, gpus=(), **BELOW) for k, t in enumerate(SAVES)]  # type: ignore[arg-type]

    assert _is_asked(build(_beside(*savers)))


@pytest.mark.parametrize(
    "tenant",
    [
        Tenant("worker", 60, 1e9, gpus=(), **BELOW),  # type: ignore[arg-type]
        Tenant("actor", 60, 9000, gpus=(), exe="/usr/bin/raylet", ppid=1),
        Tenant("driver", 0, 1e9, gpus=(), ppid=1),  # started the training, and may write for it
        Tenant(
            "beside", 0, 1e9, gpus=(), ppid=1, script="/env/bin/torchrun train.py"
        ),  # started nothing here
        Tenant("late", 6000, 1e9, share=0.01, written_b=None),
    ],
)
def test_nobody_is_asked_where_another_process_may_have_written(tenant: Tenant) -> None:
    trained = replace(QUIET, ppid=101 if tenant.name == "driver" else 50)

    assert not _is_asked(build(replace(CLAIMED, tenants=(trained, tenant))))


@pytest.mark.parametrize(
    "trainer",
    [
        replace(QUIET, stored_b=40 * MIB),  # through a mapping, io_uring or libaio
        replace(QUIET, stored_b=None),
        replace(QUIET, written_b=None),
        replace(QUIET, bursts=((SAVES[4] + 20, 300 << 10),)),  # one small model
        replace(QUIET, bursts=((SAVES[-1] + 500, MIB),)),  # written beside the training, and late
        replace(QUIET, written_b=MIB),  # all the time
        replace(QUIET, listed=False),
    ],
)
def test_nobody_is_asked_where_something_was_written_or_is_not_known(trainer: Tenant) -> None:
    assert not _is_asked(build(replace(CLAIMED, tenants=(trainer,))))


def test_a_large_log_is_no_checkpoint() -> None:
    """100 bytes a record as the builders have it, all of them written by the process that trains: 600 kB from
    one save to the next, which beside a small log would be a checkpoint."""
    log = Log(step_s=0.1, every=1, saves=SAVES[:5])
    trainer = replace(TRAIN, written_b=100 * 600)
    world = replace(CLAIMED, length_s=3600.0, tenants=(trainer,), log=log)

    assert _is_asked(build(world))
    assert not _is_asked(build(replace(world, log=Log(saves=SAVES[:5]))))


def test_nobody_is_asked_over_what_the_node_left_out() -> None:
    facts = build(CLAIMED)
    cut = facts.frames["windows"].with_columns(procs_truncated=pl.col("start_at") == AT + 6000)
    unlisted = facts.frames["windows"].with_columns(
        why=pl.when(pl.col("start_at") == AT + 6000).then(pl.lit('{"procs":"no list"}')).otherwise("why")
    )
    gap = facts.frames["shares"].filter(~pl.col("start_at").is_between(AT + 3000, AT + 4500))
    worlds = [
        replace(facts, frames={**facts.frames, "windows": cut}),
        replace(facts, frames={**facts.frames, "windows": unlisted}),
        replace(facts, frames={**facts.frames, "shares": gap}),
        _with(facts, "events", run=None, at=AT + 10, name="processes-truncated", detail="{}"),
        _with(facts, "flows", run=key(7), pid=100, peer="198.51.100.1:443", out_b=MIB, last_seen_at=AT + 90),
        replace(facts, runs=(replace(run_of(CLAIMED), nodes=(NODE, "n2")),)),
    ]

    assert _is_asked(facts)
    assert [_is_asked(world) for world in worlds] == [False] * len(worlds)


@pytest.mark.parametrize("saves", [SAVES[:2], tuple(610.0 + 120 * k for k in range(10)), (10_700.0,) * 9])
def test_few_saves_or_all_at_once_say_nothing(saves: tuple[float, ...]) -> None:
    assert not _is_asked(build(replace(CLAIMED, log=Log(saves=saves))))


def test_only_the_audited_part_of_a_run_is_looked_at() -> None:
    """Of a run of days each night has its own windows, and the log of all of them."""
    facts = build(CLAIMED)
    run = replace(run_of(CLAIMED), from_at=AT + 3600)
    late = {
        name: frame.filter(pl.col("start_at") >= AT + 3600) if name in ("windows", "shares") else frame
        for name, frame in facts.frames.items()
    }
    reads = build(replace(CLAIMED, tenants=(replace(QUIET, read_b=((0, 2 * MIB),)),)))
    tonight = {**reads.frames, "shares": reads.frames["shares"].filter(pl.col("start_at") >= AT + 3600)}

    judged = _judged(replace(facts, runs=(run,), frames=late))
    read = _judged(replace(reads, runs=(run,), frames=tonight))

    assert "The log says 11 times" in judged.sentence
    assert "as much for each in all of the training" in " ".join(read.notes)


def test_a_claimed_save_is_a_note_and_makes_no_alert_of_a_review() -> None:
    diverted = replace(SHAPES["late-diversion"], tenants=(replace(QUIET, period_s=None),))
    paces = SHAPES["late-diversion"].log
    assert paces is not None
    claims = replace(diverted, log=replace(paces, saves=SAVES))

    alone, before, beside = (_judged(build(w)) for w in (CLAIMED, diverted, claims))

    assert alone.verdict is Verdict.NOTE
    assert before.verdict is beside.verdict is Verdict.REVIEW
    assert CHECK in [f.check for f in beside.findings]
    assert before.score == beside.score


def _notes(world: World) -> str:
    return " ".join(note for note in _judged(build(world)).notes)


def test_saves_in_step_with_the_log_are_told_in_its_favour() -> None:
    assert "17 of the 17 times" in _notes(SHAPES["saved-checkpoints"])
    always = replace(TRAIN, written_b=40 * MIB)  # as much at every other time
    assert "saved a checkpoint" not in _notes(replace(CLAIMED, tenants=(always,)))


def test_checkpoints_are_held_against_the_steps_in_their_names() -> None:
    plain = replace(CLAIMED, log=Log())
    right = tuple((t + 20, int((t - 120) / 6), 5 * MIB) for t in SAVES)
    wrong = tuple((t + 20, int((t + 3000) / 6), 5 * MIB) for t in SAVES)

    said = [_notes(replace(plain, saved=saved)) for saved in (right, wrong)]

    assert "17 of 17 checkpoints (the last one 5.0 MiB) came to disk when the log had come to" in said[0]
    assert "checkpoints" not in said[1]


def test_a_process_on_several_gpus_has_read_once() -> None:
    both = replace(QUIET, gpus=(0, 1), read_b=((0, 2 * MIB),))

    assert "read 356 MiB" in _notes(replace(CLAIMED, gpus=2, log=Log(), tenants=(both,)))


def test_what_was_read_is_told_and_nothing_is_made_of_it() -> None:
    even = _judged(build(replace(CLAIMED, log=Log(), tenants=(replace(QUIET, read_b=((0, 2 * MIB),)),))))
    cached = replace(QUIET, read_b=((0, 20 * MIB), (2800, 100)))
    once = _judged(build(replace(CLAIMED, log=Log(), tenants=(cached,))))
    mapped = _judged(build(replace(CLAIMED, log=Log(), tenants=(replace(QUIET, read_b=((0, 100),)),))))

    told = [[note for note in j.notes if " read " in note] for j in (even, once, mapped)]
    assert "read 356 MiB" in told[0][0]
    assert "as much for each in all of the training" in told[0][0]
    assert "more in some parts" in told[1][0]
    assert told[2] == []
    assert {j.verdict for j in (even, once, mapped)} == {Verdict.CLEAR}
    assert even.findings == once.findings == mapped.findings == ()
