"""A user's own document holds his runs and names nobody else."""

import json
import re
from dataclasses import replace

import pytest

from slurm_guard import document
from slurm_guard.audit.run import audit_facts
from slurm_guard.model import Audit, Evidence, Outside, Skip, TimelineEvent
from slurm_guard.report.own import LEFT_OUT, only_uid, uids_of
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.render import render_html
from tests.builders import build
from tests.shapes import SHAPES
from tests.unit.report import builders

MINE, OTHER, THIRD = 412_001, 412_002, 412_003
NAMES = {MINE: "mia-own", OTHER: "otto", THIRD: "thea.x"}


def _night() -> Audit:
    """Three users; the first one's run carries texts of every kind that name the others."""
    plain = builders.night()
    judgements = []
    for i, judgement in enumerate(plain.judgements):
        uid = (MINE, OTHER, THIRD)[i % 3]
        run = replace(judgement.run, user=NAMES[uid], uid=uid, name=f"job-of-{NAMES[uid]}")
        judgements.append(replace(judgement, run=run))
    theirs = judgements[1].run
    mine = judgements[0]
    tell = (
        f"pid 7654321, uid {OTHER}, /home/otto/bin/miner, on GPU-1",
        f"pid 7654321 of another run, uid {OTHER}",
        f"Process 7654321, miner, of otto (uid {OTHER}) worked 40 s on GPU-1 of g01",
        f"the loss column of this log beside that of run {theirs.id}",
        f"its node saw it in job {theirs.job_id}",
        "the pace of thea.x was higher",
        "read /home/otto/logs/a.log",
        "process 7654321 was there",
    )
    evidence = tuple(Evidence(text, 10.5, "GPU-s", "lake table shares", text, text) for text in tell)
    finding = replace(mine.findings[0], evidence=evidence, sentence=tell[2])
    assert mine.timeline is not None
    events = [TimelineEvent(mine.run.from_at, None, "process", text) for text in tell]
    judgements[0] = replace(
        mine,
        findings=(finding, *mine.findings[1:]),
        sentence=tell[6],
        timeline=replace(mine.timeline, events=events),
        notes=tell,
        progress=replace(mine.progress, problems=tell, sources=tell[:2]),
    )
    at = (plain.from_at, plain.until_at, 5000)
    return replace(
        plain,
        judgements=tuple(judgements),
        settings={"network": {"tunnels": ["203.0.113.0/28:443 user=otto"]}},
        outside=(
            Outside("g01", "GPU-1", *at, 7654321, OTHER, "/home/otto/bin/miner", theirs.id, tell[2]),
            Outside("g01", "GPU-1", *at, 7654322, OTHER, "/home/otto/bin/miner", mine.run.id, tell[2]),
            Outside(
                "g01", "GPU-2", *at, 779, MINE, "/home/mia/train", mine.run.id, "Process 779 worked 5 s."
            ),
        ),
        skips=(Skip(theirs.id, "run-refused", "otto"), Skip(mine.run.id, "check-failed", "no such column")),
        nodes=tuple(replace(n, note="leftover of otto") for n in plain.nodes),
    )


def _traces(text: str, uid: int) -> list[str]:
    night = _night()
    others = [j.run for j in night.judgements if j.run.uid != uid]
    words = {str(r.uid) for r in others} | {r.user for r in others} | {r.id for r in others}
    words |= (
        {str(r.job_id) for r in others}
        | {r.name for r in others}
        | {"/home/otto", "miner", "7654321", "7654322"}
    )
    return sorted(word for word in words if word in text)


def test_nobody_else_is_named_anywhere() -> None:
    whole = _night()
    assert len(_traces(document.to_json(whole), MINE)) > 20

    for uid in (MINE, THIRD):
        assert _traces(document.to_json(only_uid(whole, uid)), uid) == []


def test_his_own_runs_stand_in_it_with_their_numbers() -> None:
    whole = _night()

    own = only_uid(whole, MINE)

    theirs = [j for j in whole.judgements if j.run.uid == MINE]
    assert [j.run for j in own.judgements] == [j.run for j in theirs]
    assert [j.ledger_gpu_ms for j in own.judgements] == [j.ledger_gpu_ms for j in theirs]
    assert [j.unexplained for j in own.judgements] == [j.unexplained for j in theirs]
    assert [e.value for e in own.judgements[0].findings[0].evidence] == [10.5] * 8
    assert {e.what for e in own.judgements[0].findings[0].evidence} == {LEFT_OUT}
    assert [o.pid for o in own.outside] == [779]
    assert [s.detail for s in own.skips] == ["no such column"]
    assert own.settings == {}
    assert own.site is None
    assert own.sums[0].n_runs == len(theirs)
    assert own.trend == ()


def test_what_says_nothing_of_others_stays_word_for_word() -> None:
    whole = _night()

    own = only_uid(whole, MINE)

    rest = [j for j in whole.judgements if j.run.uid == MINE][1:]
    assert [j.sentence for j in own.judgements[1:]] == [j.sentence for j in rest]
    kept = [f for j in own.judgements for f in j.findings if f.sentence != LEFT_OUT]
    assert kept
    assert all(not f.attack for f in kept)


def test_his_own_words_stay_even_where_they_name_others() -> None:
    whole = _night()
    run = replace(whole.judgements[0].run, comment="like otto's run", work_dir="/home/otto/shared")
    whole = replace(whole, judgements=(replace(whole.judgements[0], run=run), *whole.judgements[1:]))

    assert only_uid(whole, MINE).judgements[0].run == run


@pytest.mark.parametrize("shape", ["victim", "unlisted-guest", "instance-victim"])
def test_a_guest_on_his_gpus_is_told_of_and_not_named(shape: str) -> None:
    whole = audit_facts(build(SHAPES[shape]))
    (judgement,) = whole.judgements
    assert judgement.run.uid is not None
    assert "uid 2000" in document.to_json(whole)

    own = only_uid(whole, judgement.run.uid)

    text = document.to_json(own)
    assert "2000" not in re.findall(r"\w+", text)
    assert "pid 101" not in text
    assert [f.sentence for f in own.judgements[0].findings] == [f.sentence for f in judgement.findings]
    assert LEFT_OUT in text


def test_it_is_a_document_like_any_other() -> None:
    for uid in uids_of(_night()):
        own = only_uid(_night(), uid)
        assert document.from_json(document.to_json(own)) == own
        assert render_html(build_page(own, Options(scope="Your own runs")))


def test_who_explained_it_and_why_is_the_sites_own_word() -> None:
    whole = builders.night()
    explained = next(j for j in whole.judgements if j.explained)
    assert explained.run.uid is not None

    own = document.to_json(only_uid(whole, explained.run.uid))

    assert "r.okoye" not in own
    assert "4711" not in own
    assert json.loads(own)["judgements"][0]["explained"][0]["by"] == "the site"


def test_a_run_of_which_the_user_is_not_known_is_nobodys() -> None:
    whole = builders.night()
    first = whole.judgements[0]
    whole = replace(
        whole, judgements=(replace(first, run=replace(first.run, uid=None)), *whole.judgements[1:])
    )

    assert all(
        first.run.id not in [j.run.id for j in only_uid(whole, uid).judgements] for uid in uids_of(whole)
    )


@pytest.mark.parametrize(
    "text", ["10.5 GPU-s of 40 s", "pid 4242 (linked) python3", "job 48112", "uid 412001 of mine"]
)
def test_numbers_that_are_nobodys_name_nobody(text: str) -> None:
    whole = _night()
    judgement = replace(whole.judgements[0], notes=(text,))
    whole = replace(whole, judgements=(judgement, *whole.judgements[1:]))

    assert only_uid(whole, MINE).judgements[0].notes == (text,)


def test_a_command_that_asks_the_closed_lake_is_said_to_be_the_staffs() -> None:
    whole = replace(builders.night(), outside=())
    first = whole.judgements[0]
    shown = ("slurm-guard lake show windows --job 48112", "sacct -j 48112", "slurm-guard progress show /a")
    evidence = tuple(replace(first.findings[0].evidence[0], what="work", see=text) for text in shown)
    told = replace(first, findings=(replace(first.findings[0], evidence=evidence),))

    own = only_uid(replace(whole, judgements=(told,)), first.run.uid or 0)

    said = [e.see for e in own.judgements[0].findings[0].evidence]
    assert said == [f"for the site's staff: {shown[0]}", *shown[1:]]
