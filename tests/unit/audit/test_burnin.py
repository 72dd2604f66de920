"""Burn-in: a class beside the verdict that explains a job's own work on its own GPUs, and nothing else."""

from dataclasses import replace

import pytest

from slurm_guard.audit import alarms
from slurm_guard.audit.past import night_of
from slurm_guard.audit.run import audit_facts
from slurm_guard.config import AuditConfig
from slurm_guard.document import from_json, to_json
from slurm_guard.model import Audit, Judgement, Verdict
from slurm_guard.siteword import Exemption, SiteWords
from tests.builders import World, run_of
from tests.shapes import facts_of
from tests.words import exemption

ENTRY = "account=lab user=ann"


def _audit(shape: str, *entries: str, said: tuple[Exemption, ...] = ()) -> Audit:
    facts = facts_of(shape)
    config = replace(facts.config, burn_in=list(entries))
    return audit_facts(replace(facts, config=config, words=SiteWords(said)))


def _judged(shape: str, *entries: str, said: tuple[Exemption, ...] = ()) -> Judgement:
    return next(j for j in _audit(shape, *entries, said=said).judgements if j.run.job_id == 7)


def test_a_stress_job_without_a_log_keeps_its_verdict_and_has_the_class() -> None:
    plain, told = _judged("no-log"), _judged("no-log", ENTRY)

    assert told.burn_in == ENTRY
    assert "burn-in" in told.classes
    assert (told.verdict, told.ledger_gpu_ms) == (Verdict.NOT_AUDITABLE, plain.ledger_gpu_ms)
    assert replace(told, classes=plain.classes, burn_in=None) == plain


def test_its_own_work_asks_for_nothing_and_says_by_whose_word() -> None:
    plain, told = _judged("co-tenant"), _judged("co-tenant", ENTRY)

    assert (plain.verdict, plain.asks) == (Verdict.ALERT, True)
    assert (told.verdict, told.asks, told.left) == (Verdict.ALERT, False, Verdict.NOTE)
    assert {(e.id, e.by, e.scope, e.reason, e.hard) for e in told.explained} == {
        (0, "guard.toml", "burn-in", ENTRY, False)
    }
    assert told.findings == plain.findings
    assert told.unexplained == plain.unexplained


@pytest.mark.parametrize("shape", ["tunnel", "leftover", "wrong-gpu"])
def test_a_hard_fact_stays_an_alert(shape: str) -> None:
    told = _judged(shape, ENTRY)

    assert (told.verdict, told.asks) == (Verdict.ALERT, True)
    assert "burn-in" in told.classes


def test_a_tunnel_beside_work_stays_an_alert_by_itself() -> None:
    told = _judged("tunnel-and-work", ENTRY)

    assert (told.verdict, told.left) == (Verdict.ALERT, Verdict.ALERT)
    assert {e.check for e in told.explained} >= {"extra-context", "work-residual"}
    assert "reverse-tunnel" not in {e.check for e in told.explained}


@pytest.mark.parametrize("shape", ["tunnel-to-login", "unlisted-elsewhere"])
def test_soft_words_of_the_network_and_of_others_gpus_go_on_asking(shape: str) -> None:
    plain, told = _judged(shape), _judged(shape, ENTRY)

    assert plain.asks
    assert (told.asks, told.verdict, told.explained) == (True, plain.verdict, ())


@pytest.mark.parametrize(
    "entry", ["account=other", "user=ann partition=burnin", "qos=stress", "user=ANN", "partition=gp"]
)
def test_a_job_of_which_an_entry_fits_in_part_is_none(entry: str) -> None:
    assert _judged("co-tenant", entry) == _judged("co-tenant")


def test_any_entry_will_do_and_the_first_one_is_told() -> None:
    told = _judged("no-log", "account=other", "qos=normal", "partition=gpu")

    assert told.burn_in == "qos=normal"


def test_what_somebody_said_of_the_run_comes_before_what_the_configuration_says_of_its_kind() -> None:
    word = exemption(run_of(World()), "extra-context")

    told = _judged("co-tenant", ENTRY, said=(word,))

    by_check = {e.check: e.by for e in told.explained}
    assert by_check["extra-context"] == word.by.name
    assert by_check["work-residual"] == "guard.toml"
    assert not told.asks


def test_burn_in_is_no_reference_and_spends_nothing_of_the_budget() -> None:
    assert alarms.is_met(_judged("honest"))
    assert not alarms.is_met(_judged("honest", ENTRY))
    assert sum(c.n for c in night_of(_audit("honest")).cells) == 1
    assert night_of(_audit("honest", ENTRY)).cells == ()


def test_the_document_holds_the_entry() -> None:
    audit = _audit("co-tenant", ENTRY)

    assert from_json(to_json(audit)) == audit
    assert AuditConfig().burn_in == []
