"""Maintenance: what it changes of nodes and administrators, and that it hides no run of anybody."""

from dataclasses import replace

import pytest

from slurm_guard.audit.run import audit_facts
from slurm_guard.audit.upkeep import Upkeep
from slurm_guard.document import from_json, to_json
from slurm_guard.model import Audit, Verdict
from slurm_guard.sitemodel import Maintenance
from tests.builders import AT, NODE, UID, Tenant, World, build
from tests.shapes import HONEST, SHAPES, facts_of

END = AT + 20_000.0


def _window(from_s: float = -100.0, until_s: float = 20_000.0, nodes: str = NODE) -> Maintenance:
    return Maintenance(nodes, 1, AT + from_s, AT + until_s, "firmware", "guard.toml")


def _audit(world: World, *windows: Maintenance, admins: tuple[int, ...] = ()) -> Audit:
    facts = replace(build(world), maintenance=windows, maintenance_uids=frozenset(admins))
    return audit_facts(facts)


def test_a_node_that_was_silent_in_maintenance_is_not_called_silent() -> None:
    (plain,) = _audit(SHAPES["no-data"]).nodes
    (told,) = _audit(SHAPES["no-data"], _window()).nodes

    assert plain.note == "nothing was heard"
    assert told.note == "in maintenance: firmware"
    assert told.last_heard_at is None
    assert told.maintenance_s > 10_000


@pytest.mark.parametrize(
    "window",
    [_window(until_s=10_000.0), _window(from_s=1.0), _window(nodes="n2")],
    ids=["ended before the run", "began after the run", "another node"],
)
def test_silence_beyond_the_window_is_silence(window: Maintenance) -> None:
    audit = _audit(SHAPES["no-data"], window)

    assert [n.note for n in audit.nodes if n.node == NODE] == ["nothing was heard"]
    assert "silent" in audit.judgements[0].classes


def test_windows_that_touch_are_one() -> None:
    (node,) = _audit(SHAPES["no-data"], _window(until_s=5000.0), _window(from_s=5000.0)).nodes

    assert node.note.startswith("in maintenance")


def test_a_silent_run_in_maintenance_is_judged_as_ever_and_only_called_otherwise() -> None:
    (plain,) = _audit(SHAPES["no-data"]).judgements
    (told,) = _audit(SHAPES["no-data"], _window()).judgements

    assert "silent" in plain.classes
    assert ("maintenance" in told.classes, "silent" in told.classes) == (True, False)
    assert (told.verdict, told.score, told.ledger_gpu_ms) == (plain.verdict, plain.score, plain.ledger_gpu_ms)
    assert [f.check for f in told.findings] == [f.check for f in plain.findings]
    assert "was in maintenance meanwhile" in told.findings[0].sentence
    assert "in maintenance as long as it was there" in " ".join(told.notes)


@pytest.mark.parametrize(
    "shape", ["co-tenant", "tunnel", "tunnel-and-work", "leftover", "wrong-gpu", "victim"]
)
def test_no_window_hides_what_a_run_did(shape: str) -> None:
    facts = facts_of(shape)

    plain = audit_facts(facts)
    told = audit_facts(
        replace(facts, maintenance=(_window(-10_000.0, 1e6, "n[1-9]"),), maintenance_uids=frozenset({UID}))
    )

    for a, b in zip(plain.judgements, told.judgements, strict=True):
        assert replace(b, notes=a.notes) == a
    assert any(j.verdict in (Verdict.ALERT, Verdict.REVIEW) for j in told.judgements) or shape == "victim"


ADMIN = 1042
DIAG = Tenant("diag", 1200, 7200, share=0.8, uid=ADMIN, job_id=None, gpus=(1,), exe="/usr/bin/dcgmproftester")
BESIDE = replace(HONEST, board_gpus=2, tenants=(*HONEST.tenants, DIAG))


def test_an_administrators_work_on_a_free_gpu_is_told_and_not_asked_about() -> None:
    plain, told = _audit(BESIDE), _audit(BESIDE, _window(), admins=(ADMIN,))

    assert plain.asks
    assert not told.asks
    (a,), (b,) = plain.outside, told.outside
    assert (a.asked, a.maintenance, b.asked, b.maintenance) == (True, False, False, True)
    assert b.gpu_ms == a.gpu_ms > 0
    assert b.sentence.startswith(a.sentence)
    assert "in maintenance" in b.sentence


@pytest.mark.parametrize(
    ("window", "admins"),
    [
        (_window(), ()),
        (_window(), (ADMIN + 1,)),
        (_window(until_s=6000.0), (ADMIN,)),
        (_window(from_s=3000.0), (ADMIN,)),
        (_window(from_s=7260.0), (ADMIN,)),
        (_window(nodes="n2"), (ADMIN,)),
    ],
    ids=[
        "nobody is named",
        "another user",
        "goes on after",
        "begun before",
        "just before it",
        "another node",
    ],
)
def test_whoever_else_works_outside_jobs_is_asked_about(window: Maintenance, admins: tuple[int, ...]) -> None:
    audit = _audit(BESIDE, window, admins=admins)

    assert audit.asks
    assert not any(o.maintenance for o in audit.outside)


def test_on_a_gpu_that_a_run_holds_administrators_are_asked_about_too() -> None:
    audit = _audit(
        replace(BESIDE, tenants=(*HONEST.tenants, replace(DIAG, gpus=(0,)))), _window(), admins=(ADMIN,)
    )

    assert [o.asked for o in audit.outside] == [True]


def test_the_document_holds_the_windows_in_order_and_survives_the_codec() -> None:
    late, early = _window(from_s=100.0), _window()

    audit = _audit(HONEST, late, early)

    assert audit.maintenance == (early, late)
    assert from_json(to_json(audit)) == audit
    assert to_json(_audit(HONEST, early, late)) == to_json(audit)


def test_two_thousand_nodes_are_one_list() -> None:
    upkeep = Upkeep([replace(_window(), nodes="gpu[0001-2000]")])

    assert upkeep.covers("gpu1999", AT, AT + 60)
    assert not upkeep.covers("gpu2001", AT, AT + 60)
