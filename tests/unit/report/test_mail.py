"""The letter: bounded, deterministic, complete without its HTML."""

import email
import email.policy
import re
from dataclasses import replace
from email.message import EmailMessage

from slurm_guard.model import Audit, Verdict
from slurm_guard.report import mail
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.render import render_html
from slurm_guard.report.text import ALL, Style, render_text
from tests.unit.report import builders


def _compose(audit: Audit, to: str = "ops@example.org", date_at: float = builders.FROM_AT) -> mail.Letter:
    return mail.compose(audit, Options(site="Aurora"), mail.Envelope("guard@hpc.example.org", to), date_at)


def _part(letter: mail.Letter, kind: str) -> str:
    message = email.message_from_bytes(letter.content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_the_message_id_follows_from_audit_and_reader_alone() -> None:
    night = builders.night()

    assert _compose(night).message_id == _compose(night, date_at=builders.FROM_AT + 9).message_id
    assert _compose(night).message_id != _compose(night, to="b@example.org").message_id
    assert _compose(night).message_id != _compose(builders.empty_night()).message_id


def test_the_same_letter_has_the_same_bytes() -> None:
    assert _compose(builders.night()).content == _compose(builders.night()).content


def test_the_text_part_is_complete_on_its_own() -> None:
    text = _part(_compose(builders.night()), "plain")

    for said in (
        "At least 9.78, at most 12.8 of 64.0 GPU-h",
        "What speaks for the job",
        "What would clear it",
        "What could not be seen",
        "2026-09-22 05:00 to 06:50",
        "pid 48120",
        "Not judged, and why",
        "Observed:",
    ):
        assert said in text
    assert max(map(len, text.splitlines())) <= 76


def test_a_letter_leaves_the_commands_to_the_page_and_names_for_each_run_the_one_that_shows_them() -> None:
    night = builders.night()
    letter = _compose(night)

    for kind in ("plain", "html"):
        said = _part(letter, kind)
        for absent in ("lake show", "sacct -D", "--columns"):
            assert absent not in said
        for job in (48112, 48207):
            assert said.count(f"slurm-guard report --night 2026-09-22 --job {job}") == 1
    page = build_page(night, Options())
    assert "slurm-guard lake show shares" in render_html(page)
    assert "slurm-guard lake show shares" in render_text(page, Style(cards=ALL))


def test_the_events_beside_a_timeline_are_numbered_as_in_its_picture() -> None:
    of = builders.alert()
    assert of.timeline is not None
    many = [
        replace(of.timeline.events[1], at=of.run.from_at + 60 * k, text=f"event {k}") for k in range(1, 12)
    ]
    letters = [of, replace(of, timeline=replace(of.timeline, events=many))]

    few, more = (_part(_compose(replace(builders.night(), judgements=(j,))), "html") for j in letters)

    assert re.findall(r'<li value="(\d)"', few) == list("1234567")
    assert re.findall(r'<li value="(\d)"[^>]*>.*?event (\d+)', more) == [
        (str(k), str(k)) for k in range(1, 9)
    ]
    assert "The numbers after these" in more
    assert "The numbers after these" not in few


def test_the_html_part_fetches_nothing_and_says_its_pictures_in_words() -> None:
    html = _part(_compose(builders.night()), "html")

    for absent in ("<style", "<svg", "<script", "<link", "url("):
        assert absent not in html
    for drawn in re.findall(r"<img [^>]*>", html):  # those inside the letter, and their words say the same
        assert re.search(r' src="cid:[\w.-]+@[\w.-]+" ', drawn)
        assert re.search(r' alt="[^"]{20,}"', drawn)
    assert 'style="' in html
    assert "llama-ft" in html
    for tag in re.findall(r"<img [^>]*>", html):  # where they can be drawn at all
        assert 'src="cid:' in tag
        assert len(re.findall(r'alt="([^"]*)"', tag)[0]) > 40


def test_a_night_of_many_alerts_stays_below_the_budget_and_counts_what_is_cut() -> None:
    one = builders.alert()
    many = tuple(
        replace(one, run=replace(one.run, id=f"aurora/{i}/0", job=str(i), job_id=i), verdict=verdict)
        for i in range(400)
        for verdict in (Verdict.ALERT, Verdict.NOT_AUDITABLE)
    )

    letter = _compose(replace(builders.night(), judgements=many))

    assert len(letter.content) <= mail.MOST_BYTES
    assert "more runs, in the JSON and CSV" in _part(letter, "plain")
    assert "400 alerts" in letter.subject
