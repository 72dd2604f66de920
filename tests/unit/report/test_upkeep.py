"""Maintenance and burn-in on the page: above everything, counted, and never in the way of an alert."""

from dataclasses import replace

from slurm_guard import sums
from slurm_guard.model import Audit, NodeCoverage, Outside, Verdict
from slurm_guard.report import headline, mail, owner
from slurm_guard.report.cut import only_accounts
from slurm_guard.report.own import only_uid
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.render import render_html
from slurm_guard.report.text import Style, render_text
from slurm_guard.report.view import Fact
from slurm_guard.report.words import load_zone
from slurm_guard.sitemodel import Explained, Maintenance
from tests.unit.report import builders

AT = builders.FROM_AT
WINDOW = Maintenance("g[01-04]", 4, AT + 28_800, AT + 43_200, "firmware of the GPUs", "guard.toml")
SLURM = Maintenance("g01", 1, AT, AT + 3600, "reservation mt1", "slurm")
ENTRY = "account=proj1 user=ann"


def _fact(audit: Audit, label: str) -> Fact:
    return next(f for f in build_page(audit, Options()).coverage if f.label == label)


def _burning() -> Audit:
    """An alert with a hard fact, one whose work the configuration explains, and one without a log."""
    word = Explained(0, "work-residual", "guard.toml", "burn-in", False, AT, ENTRY)
    soft = replace(
        builders.review(), burn_in=ENTRY, explained=(word,), left=Verdict.NOTE, classes=("burn-in",)
    )
    hard = replace(builders.alert(), burn_in=ENTRY)
    unseen = replace(builders.not_auditable(), burn_in="qos=stress")
    return replace(builders.night(), judgements=(hard, soft, unseen, builders.clear(0)))


def test_windows_stand_above_everything_with_nodes_time_reason_and_source() -> None:
    audit = replace(builders.night(), maintenance=(SLURM, WINDOW))

    fact = _fact(audit, "Maintenance")

    assert fact.value == "2 windows, 5 nodes in all"
    assert fact.note == (
        "g01, 2026-09-22 00:00 to 01:00: Slurm's reservation mt1; g[01-04], 2026-09-22 08:00 to 12:00: "
        "firmware of the GPUs; runs are judged as ever"
    )
    text = render_text(build_page(audit, Options()), Style(100))
    assert text.index("Maintenance: 2 windows") < text.index("need")
    assert "firmware of the GPUs" in render_html(build_page(audit, Options()))


def test_without_a_window_and_without_burn_in_nothing_is_said() -> None:
    labels = {f.label for f in build_page(builders.night(), Options()).coverage}

    assert labels.isdisjoint({"Maintenance", "Burn-in"})


def test_administrators_work_that_was_not_asked_about_is_counted() -> None:
    work = Outside("g01", "GPU-1", AT, AT + 7200, 7_200_000, 77, 1042, "diag", None, "x", None, False, True)
    audit = replace(builders.night(), maintenance=(WINDOW,), outside=(work, replace(work, gpu="GPU-2")))

    note = _fact(audit, "Maintenance").note

    assert "1 process of 1 administrator outside jobs (4.00 GPU-h) not asked about" in note
    assert not audit.strangers


def test_many_windows_are_counted() -> None:
    audit = replace(builders.night(), maintenance=(WINDOW,) * 9)

    assert "; 5 more; runs" in _fact(audit, "Maintenance").note


def test_nodes_in_maintenance_are_told_from_those_that_nobody_heard() -> None:
    silent = NodeCoverage("g03", 0, 0, None, "in maintenance: firmware", 86_400.0)
    audit = replace(builders.night(), nodes=(silent, replace(silent, node="g04", note="nothing was heard")))

    assert headline.heard(audit).endswith(", 1 in maintenance")


def test_burn_in_has_a_line_of_its_own_by_entry_with_what_asks_all_the_same() -> None:
    audit = _burning()
    whole = sum(j.run.allocated_gpu_ms for j in audit.judgements[:3]) / builders.GPU_H

    fact = _fact(audit, "Burn-in")

    assert fact.value == f"3 runs, {whole:.1f} GPU-h"
    assert f"{ENTRY}: 2 runs of " in fact.note
    assert "qos=stress: 1 run of 1 user" in fact.note
    assert "1 of them asks for a look all the same" in fact.note


def test_burn_in_that_asks_for_nothing_is_a_section_and_what_asks_stays_an_alert() -> None:
    audit = _burning()
    sections = {s.slug: s for s in build_page(audit, Options()).sections}

    assert (sections["burn-in"].count, sections["alert"].count, sections["review"].count) == (2, 1, 0)
    own = next(s for s in sums.groups(audit.judgements, "c") if (s.kind, s.name) == ("section", "burn-in"))
    assert own.allocated_gpu_ms == sum(j.run.allocated_gpu_ms for j in audit.judgements[1:3])
    text = render_text(build_page(audit, Options()), Style(100, cards=("burn-in",)))
    assert f"explained as burn-in (work-residual): {ENTRY} in guard.toml" in " ".join(text.split())
    assert mail.is_alert(audit)


def test_owners_of_burn_in_are_not_written_to() -> None:
    desk = owner.Desk("Aurora", load_zone("UTC"), ("ALERT", "REVIEW", "NOT AUDITABLE"), None)
    plain = replace(_burning(), judgements=tuple(replace(j, burn_in=None) for j in _burning().judgements))

    assert owner.told_runs(plain, desk)
    assert owner.told_runs(_burning(), desk) == {}


def test_neither_users_nor_coordinators_read_whom_an_entry_names() -> None:
    audit = _burning()
    hard = audit.judgements[0].run
    assert hard.uid is not None
    own = {"burn_in": [ENTRY], "maintenance_admins": ["root"], "slack_s": 120.0}
    settings: dict[str, object] = {"audit": own}

    mine = only_uid(replace(audit, maintenance=(WINDOW,)), hard.uid)
    part = only_accounts(replace(audit, settings=settings, maintenance=(WINDOW,)), [hard.account])

    assert {j.burn_in for j in mine.judgements} == {"the site"}
    assert (mine.maintenance, part.maintenance) == ((), ())
    assert part.settings == {"audit": {"slack_s": 120.0}}
