"""ATT&CK: every number that a check has is known by name, and stands wherever the check speaks."""

from dataclasses import replace

from slurm_guard import attack, document
from slurm_guard.audit.registry import CHECKS
from slurm_guard.audit.run import audit_facts
from slurm_guard.report import mail, page, text
from slurm_guard.report.render import render_html, render_mail_html
from tests.shapes import facts_of
from tests.unit.report import builders

WORDS = "ATT&CK T1572 Protocol Tunneling, T1090 Proxy"


def test_every_number_of_a_check_has_a_name_and_no_name_is_unused() -> None:
    used = {number for check in CHECKS for number in check.attack}
    assert used == set(attack.NAMES)


def test_numbers_are_spelled_with_their_names_and_unknown_ones_stand_alone() -> None:
    assert attack.spell(("T1572", "T1090")) == WORDS
    assert attack.spell(("T9999",)) == "ATT&CK T9999"
    assert attack.spell(()) == ""


def test_page_mail_text_and_document_show_them() -> None:
    night = builders.night()
    judged = night.judgements[0]
    found = replace(judged.findings[0], attack=("T1572", "T1090"))
    judged = replace(judged, findings=(found, *judged.findings[1:]))
    night = replace(night, judgements=(judged, *night.judgements[1:]))

    built = page.build_page(night, page.Options())
    shown = (
        render_html(built).replace("&amp;", "&"),
        mail.inline_css(render_mail_html(built)).replace("&amp;", "&"),
        " ".join(text.render_text(built, text.Style(100, cards=text.ALL)).split()),
    )

    assert all(WORDS in form for form in shown)
    assert '"T1572"' in document.to_json(night)


def test_a_port_is_named_where_mining_pools_use_it_and_nowhere_else() -> None:
    numbers = {
        shape: next(
            f.attack
            for judged in audit_facts(facts_of(shape)).judgements
            for f in judged.findings
            if f.check == "lone-connection"
        )
        for shape in ("idle-tunnel", "thin-line")
    }

    assert numbers["idle-tunnel"] == ("T1572",)
    assert "T1496" in numbers["thin-line"]
