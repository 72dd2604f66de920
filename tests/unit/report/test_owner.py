"""Letters to owners and coordinators: their own runs alone, enabled ones alone, in neutral words."""

import email
import email.policy
import re
from dataclasses import replace
from email.message import EmailMessage

import pytest

from slurm_guard.audit.past import BEYOND
from slurm_guard.audit.registry import CHECKS
from slurm_guard.audit.run import audit_facts
from slurm_guard.audit.verdict import CLASSES
from slurm_guard.model import Audit, Bounds, Family, Verdict
from slurm_guard.report import drafts, owner, ownerwords
from slurm_guard.report.addresses import People, Person
from slurm_guard.report.cut import only_accounts
from slurm_guard.report.drafts import Drafts, Sender, Who
from slurm_guard.report.letter import Envelope, Strand
from slurm_guard.report.mail import Sort
from slurm_guard.report.observing import open_partitions
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.post import Draft
from slurm_guard.report.render import render_html
from slurm_guard.report.words import load_zone
from tests.shapes import SHAPES, facts_of
from tests.unit.report import builders, hostile

BY = Sender("guard@hpc.example.org", "help@example.org", Options(site="Aurora"), builders.FROM_AT)
ALL = ("ALERT", "REVIEW", "NOTE", "NOT AUDITABLE")
DESK = owner.Desk("Aurora", load_zone("UTC"), ALL, None, "help@example.org")
UNFRIENDLY = (
    "suspicious", "abuse", "cheat", "waste", "violat", "misuse", "malicious", "mining", "miner", "divert",
    "diversion", "illegal", "accus", "guilty", "att&ck", "attack", "hijack", "punish", "must",
)  # fmt: skip


def _people(audit: Audit) -> People:
    users = {j.run.user: j.run.uid for j in audit.judgements}
    known = {name: Person(name, uid or 0, f"{name.capitalize()} of Physics") for name, uid in users.items()}
    return People(known)


def _who(audit: Audit, **changes: object) -> Who:
    return replace(Who(_people(audit), "example.org"), **changes)  # type: ignore[arg-type]


def _owners(audit: Audit, desk: owner.Desk = DESK) -> Drafts:
    return drafts.owner_drafts(audit, desk, BY, _who(audit))


def _texts(draft: Draft) -> tuple[EmailMessage, str, str]:
    content = draft.compose(Sort(draft.kind, Strand("<1@hpc.example.org>"))).content
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    parts = [message.get_body((kind,)) for kind in ("plain", "html")]
    text, html = (part.get_content() if part is not None else "" for part in parts)
    return message, text, html


def test_nobody_is_told_anything_unless_the_site_enables_it() -> None:
    night = builders.night()

    assert _owners(night, replace(DESK, told=())).drafts == []
    parked = _owners(night, replace(DESK, told=("parked",))).drafts
    assert [d.to for d in parked] == [f"{builders.parked().run.user}@example.org"]


def test_an_owner_reads_of_his_own_runs_alone() -> None:
    night = builders.night()
    known = {name for j in night.judgements for name in (j.run.user, j.run.account, j.run.job, j.run.name)}

    for draft in _owners(night).drafts:
        user = draft.to.partition("@")[0]
        own = [j.run for j in night.judgements if j.run.user == user]
        mine = {name for run in own for name in (run.user, run.account, run.job, run.name)}
        message, text, html = _texts(draft)
        whole = f"{message['Subject']} {message['To']} {text} {html}"
        foreign = {name for name in known - mine if re.search(rf"\b{re.escape(name)}\b", whole)}
        assert foreign <= {"train"}  # a job's name that stands in our own words
        assert any(run.job in text for run in own)


def test_the_letter_holds_nothing_that_was_written_for_operators() -> None:
    """Sentences, evidence, sources and notes of findings may name anybody."""
    night = builders.night()
    secret = replace(
        night,
        judgements=tuple(
            replace(
                j, sentence="SECRET", notes=("SECRET",),
                findings=tuple(replace(f, sentence="SECRET", check="SECRET") for f in j.findings),
            )
            for j in night.judgements
        ),
        cluster="aurora", outside=tuple(replace(o, sentence="SECRET") for o in night.outside),
    )  # fmt: skip

    letters = [_texts(draft) for draft in _owners(secret).drafts]

    assert len(letters) >= 3
    assert not [1 for _, text, html in letters if "SECRET" in text + html]


def test_words_are_neutral_and_say_what_can_be_done() -> None:
    said = [
        ownerwords.NO_PROGRESS,
        ownerwords.UNMATCHED,
        ownerwords.PERHAPS_UNMATCHED,
        ownerwords.NOT_SEEN,
        ownerwords.MARKED,
    ]
    texts = [*(s.seen + s.helps for s in (*said, *ownerwords.BY_CLASS.values())), ownerwords.INTRO]
    texts += [text for draft in _owners(builders.night()).drafts for text in _texts(draft)[1:]]

    for text in texts:
        assert [word for word in UNFRIENDLY if word in text.lower()] == []
    assert all("What you can do" in _texts(draft)[1] for draft in _owners(builders.night()).drafts)


def test_there_are_words_for_every_class_that_the_audit_gives() -> None:
    network = {check.id for check in CHECKS if check.family is Family.F}

    assert ownerwords.BY_CLASS.keys() >= CLASSES | network | {BEYOND}
    assert ownerwords.BY_CLASS.keys() >= ownerwords.ASIDE
    assert all(said.seen.strip() and said.helps.strip() for said in ownerwords.BY_CLASS.values())


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_no_shape_has_a_class_that_is_not_listed(shape: str) -> None:
    network = {check.id for check in CHECKS if check.family is Family.F}

    for judgement in audit_facts(facts_of(shape)).judgements:
        assert set(judgement.classes) <= CLASSES | network


def test_the_owner_of_a_process_that_stayed_is_told_what_he_can_do() -> None:
    run = replace(builders.alert(), classes=("leftover-process", "running"), unexplained=Bounds(0, 0, 0))
    night = replace(builders.night(), judgements=(run,))

    (draft,) = _owners(night).drafts

    flat = " ".join(_texts(draft)[1].split())
    assert "still worked on a GPU after the job had ended" in flat
    assert "end the programs that it starts in the background" in flat
    assert "marked for a look" not in flat


@pytest.mark.parametrize("classes", [("running",), ("silent",), ()])
def test_what_was_not_observed_is_no_reason_for_an_alert(classes: tuple[str, ...]) -> None:
    run = replace(builders.alert(), classes=classes, unexplained=Bounds(0, 0, 0))

    (draft,) = _owners(replace(builders.night(), judgements=(run,))).drafts

    assert "It was marked for a look" in " ".join(_texts(draft)[1].split())


def test_an_alert_gives_both_bounds_and_whom_to_ask() -> None:
    night = replace(builders.night(), judgements=(builders.alert(),))

    (draft,) = _owners(night).drafts
    message, text, html = _texts(draft)

    flat = " ".join(text.split())
    assert (
        "Of its 64.0 GPU-hours, at least 9.78 GPU-hours and at most 12.8 GPU-hours were not matched" in flat
    )
    assert "Questions: help@example.org" in text
    assert "Hello Mvance of Physics," in text
    assert message["Reply-To"] == "help@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "What you can do" in html


def test_a_run_that_the_site_explained_is_not_written_about() -> None:
    night = replace(builders.night(), judgements=(builders.explained(),))

    assert _owners(night).drafts == []


def test_only_enabled_classes_are_told_where_the_verdict_is_not() -> None:
    run = replace(builders.alert(), classes=("parked", "reverse-tunnel"))
    night = replace(builders.night(), judgements=(run,))

    (draft,) = _owners(night, replace(DESK, told=("parked",))).drafts

    _, text, _ = _texts(draft)
    assert "idle" in text
    assert "not matched" not in text
    assert "connection" not in text


@pytest.mark.parametrize(
    ("now", "enforced", "then", "open_"),
    [
        (True, [], {"observe_only": True}, frozenset()),
        (True, [], {"observe_only": False}, frozenset()),
        (False, [], {"observe_only": True, "enforce_partitions": []}, frozenset()),
        (False, [], {"observe_only": False}, None),
        (False, [], {}, frozenset()),
        (True, ["test"], {"observe_only": True, "enforce_partitions": ["test", "gpu"]}, frozenset({"test"})),
        (False, [], {"observe_only": True, "enforce_partitions": ["gpu"]}, frozenset({"gpu"})),
        (True, ["test"], {"observe_only": False}, frozenset({"test"})),
    ],
)
def test_while_it_only_observes_no_owner_is_written_to(
    now: bool, enforced: list[str], then: dict[str, object], open_: frozenset[str] | None
) -> None:
    said = open_partitions(now, enforced, {"audit": then})

    assert said == open_
    night = builders.night()
    found = _owners(night, replace(DESK, open_=said)).drafts
    assert bool(found) is (open_ is None or "gpu" in open_)


def test_a_user_whom_this_machine_does_not_know_gets_no_letter_and_stops_nobody() -> None:
    night = builders.night()
    people = _people(night)
    lost = people.known.pop(builders.alert().run.user)

    found = drafts.owner_drafts(night, DESK, BY, replace(_who(night), people=people))

    assert found.missed == {lost.name: "unknown to this machine"}
    assert found.drafts
    assert f"{lost.name}@example.org" not in [d.to for d in found.drafts]


def test_a_name_that_belongs_to_another_uid_here_gets_no_letter() -> None:
    night = replace(builders.night(), judgements=(builders.alert(),))
    name = builders.alert().run.user
    people = People({name: Person(name, 4, "")})

    found = drafts.owner_drafts(night, DESK, BY, replace(_who(night), people=people))

    assert found.drafts == []
    assert "has uid 4 here" in found.missed[name]


def test_a_database_that_does_not_answer_costs_the_greeting_alone() -> None:
    night = replace(builders.night(), judgements=(builders.alert(),))

    found = drafts.owner_drafts(night, DESK, BY, Who(People({}, "no answer"), "example.org"))

    (draft,) = found.drafts
    assert "Hello," in _texts(draft)[1]


def test_a_reaudit_that_changes_nothing_for_the_owner_is_the_same_letter() -> None:
    night = builders.night()
    other = replace(night, skips=(), judgements=tuple(
        replace(j, score=j.score + 1) if j.verdict is Verdict.CLEAR else j for j in night.judgements
    ))  # fmt: skip

    assert [d.digest for d in _owners(night).drafts] == [d.digest for d in _owners(other).drafts]


def test_many_runs_are_one_letter_with_a_count() -> None:
    one = builders.parked()
    many = tuple(
        replace(one, run=replace(one.run, id=f"a/{i}/0", job=str(i), job_id=i)) for i in range(20_000)
    )

    (draft,) = _owners(replace(builders.night(), judgements=many)).drafts

    _, text, _ = _texts(draft)
    assert "20,000 runs of yours" in _texts(draft)[0]["Subject"]
    assert "… and 19,980 more runs like these." in text


@pytest.mark.parametrize("nasty", hostile.STRINGS, ids=lambda s: ascii(s[:24]))
def test_hostile_names_come_out_harmless_in_owners_letters(nasty: str) -> None:
    night = hostile.night(nasty)
    own = [j for j in night.judgements if j.verdict is not Verdict.CLEAR]

    view = owner.build_view(night, own, replace(DESK, site=nasty))
    letter = owner.compose(
        view, Envelope("g@x.org", "ann@x.org", "", nasty), 0.0, Sort("owner", Strand("<1@x.org>"))
    )

    message = email.message_from_bytes(letter.content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    for kind in ("plain", "html"):
        part = message.get_body((kind,))
        assert part is not None
        shown = part.get_content()
        assert not [char for char in hostile.RAW if char in shown]
        assert kind == "plain" or not re.search(r"<(script|img|svg|h1|style)", shown)
    assert not re.search(rb"^Bcc:", letter.content, re.MULTILINE)
    assert len(letter.content) < 300_000


def test_a_coordinator_sees_his_accounts_and_nobody_elses_names() -> None:
    night = builders.night()
    others = {j.run.user for j in night.judgements if j.run.account != "proj1"}
    others -= {j.run.user for j in night.judgements if j.run.account == "proj1"}
    nosy = f"pid 7 (uid 99999) of {' and '.join(sorted(others))}, after job 48112; /home/{min(others)}/x"
    told = tuple(
        replace(
            j, sentence=nosy, notes=(nosy,),
            findings=tuple(
                replace(f, sentence=nosy, evidence=tuple(replace(e, see=nosy, what=nosy) for e in f.evidence))
                for f in j.findings
            ),
        )
        for j in night.judgements
    )  # fmt: skip

    part = only_accounts(replace(night, judgements=told), ["PROJ1"])

    assert part.judgements
    assert {j.run.account for j in part.judgements} == {"proj1"}
    html = render_html(build_page(part, Options(most_rows=1000)))
    assert [name for name in others if re.search(rf"\b{name}\b", html)] == []
    assert "99999" not in html
    assert (part.outside, part.skips, part.site) == ((), (), None)
    named = {node for j in part.judgements for node in j.run.nodes}
    assert {n.node for n in part.nodes} == {n.node for n in night.nodes if n.node in named}
    assert {(n.n_gpus, n.observed_gpu_ms, n.note) for n in part.nodes} <= {(0, 0, "")}


def test_coordinators_get_one_letter_for_all_their_accounts_and_admins_none_beside_the_digest() -> None:
    night = builders.night()
    of = {"proj0": ["user1", "boss@example.org"], "proj1": ["user1"], "proj2": ["ops@example.org"]}
    who = _who(night, may_be_addresses=True, admins=frozenset({"ops@example.org"}))

    found = drafts.coordinator_drafts(night, of, BY, who).drafts

    assert sorted(d.to for d in found) == ["boss@example.org", "user1@example.org"]
    text = _texts(next(d for d in found if d.to.startswith("user1")))[1]
    assert "Runs of accounts that you coordinate: proj0, proj1." in " ".join(text.split())


def test_coordinators_are_not_written_to_about_nights_that_were_only_observed_or_all_clear() -> None:
    night = builders.night()
    clear = replace(night, judgements=(builders.clear(0), builders.clear(1)))
    of = {f"proj{i}": ["user1"] for i in range(3)}

    assert drafts.coordinator_drafts(night, of, BY, _who(night, open_=frozenset())).drafts == []
    assert drafts.coordinator_drafts(clear, of, BY, _who(night)).drafts == []


def test_a_name_of_accounting_is_never_an_address() -> None:
    run = builders.alert()
    night = replace(
        builders.night(), judgements=(replace(run, run=replace(run.run, user="ann@evil.example")),)
    )

    found = drafts.owner_drafts(night, DESK, BY, Who(People({}, "no answer"), "example.org"))

    assert found.drafts == []
    assert found.missed == {"ann@evil.example": "no mail address can be made of the name"}
