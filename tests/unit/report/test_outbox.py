"""The outbox as a queue: what waits, what is held back, what takes another's place, and how much may go."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_guard.clock import FakeClock
from slurm_guard.report import mail
from slurm_guard.report.letterbox import DAY_S, Letterbox, Status
from slurm_guard.report.outbox import Delivery, Limits
from slurm_guard.report.page import Options
from slurm_guard.report.post import Draft, Post
from slurm_guard.report.quiet import is_quiet
from slurm_guard.report.transport import Fate, Outcome
from slurm_guard.report.words import load_zone
from tests.postal import drafts, kept, run
from tests.unit.report import builders

OPS = "ops@example.org"
NIGHT = builders.night()
CALM = replace(NIGHT, judgements=(builders.review(), builders.parked()), outside=())


class Carrier:
    """Takes everything, or says what it is told to of some readers."""

    def __init__(self, **answers: Outcome) -> None:
        self.letters: list[mail.Letter] = []
        self.answers = answers

    def send(self, letter: mail.Letter, before_handover: Callable[[], None]) -> Outcome:
        """See Transport."""
        said = self.answers.get(letter.envelope.to.partition("@")[0])
        if said is not None:
            return said
        before_handover()
        self.letters.append(letter)
        return Outcome(Fate.SENT, "")

    @property
    def readers(self) -> list[str]:
        return [letter.envelope.to for letter in self.letters]


def _owner(to: str, night: int = 0) -> Draft:
    """A letter to an owner of some night."""
    key = mail.Night(f"2026-09-{22 + night}", f"2026-09-{22 + night}.abc")

    def compose(sort: mail.Sort) -> mail.Letter:
        assert sort.strand is not None
        return mail.Letter(mail.Envelope("g@x.org", to), "s", sort.strand.message_id, b"x", "owner")

    return Draft("owner", to, key, "d" * 24, compose)


def _statuses(done: list[Delivery]) -> list[Status]:
    return [d.kept.state.status for d in done]


def test_another_audit_of_the_night_is_a_new_letter_that_answers_the_first(tmp_path: Path) -> None:
    carrier, again = Carrier(), replace(NIGHT, skips=())

    run(tmp_path, carrier, drafts([OPS]))
    run(tmp_path, carrier, drafts([OPS]))
    run(tmp_path, carrier, drafts([OPS], again), FakeClock(1_780_000_060.0))

    first, second = carrier.letters
    assert first.message_id != second.message_id
    assert first.message_id[:21] == second.message_id[:21]
    assert f"In-Reply-To: {first.message_id}".encode() in second.content
    assert "audited again" in second.subject
    assert "audited again" not in first.subject
    assert b"Replaces:" in second.content
    assert b"Replaces:" not in first.content


def test_a_letter_that_never_went_out_is_not_said_to_be_replaced(tmp_path: Path) -> None:
    carrier = Carrier(ops=Outcome(Fate.DEFERRED, "451 later"))
    run(tmp_path, carrier, drafts([OPS]))
    carrier.answers.clear()

    run(tmp_path, carrier, drafts([OPS], replace(NIGHT, skips=())))

    (letter,) = carrier.letters
    assert b"In-Reply-To" not in letter.content
    assert sorted(k.state.status.value for k in kept(tmp_path)) == ["sent", "superseded"]


def test_nights_of_a_month_hang_from_one_root_and_answer_nothing(tmp_path: Path) -> None:
    carrier = Carrier()
    later = replace(NIGHT, from_at=NIGHT.from_at + DAY_S, until_at=NIGHT.until_at + DAY_S)

    run(tmp_path, carrier, [*drafts([OPS]), *drafts([OPS], later)])

    roots = {
        line
        for letter in carrier.letters
        for line in letter.content.split(b"\r\n")
        if line.startswith(b"References")
    }
    assert len(roots) == 1
    assert b"<2026-09." in roots.pop()
    assert b"In-Reply-To" not in carrier.letters[1].content


def test_on_a_quiet_day_only_a_digest_with_an_alert_goes_out(tmp_path: Path) -> None:
    carrier, quiet = Carrier(), Limits(quiet=True)

    done = run(tmp_path / "calm", carrier, [*drafts([OPS], CALM), _owner("ann@x.org")], limits=quiet)
    alert = run(tmp_path / "alert", carrier, drafts([OPS]), limits=quiet)

    assert _statuses(done) == [Status.HELD, Status.WAITING]
    assert _statuses(alert) == [Status.SENT]
    assert carrier.readers == [OPS]


def test_what_was_held_back_is_counted_in_the_next_digest_and_only_there(tmp_path: Path) -> None:
    carrier, clock = Carrier(), FakeClock()
    run(tmp_path, carrier, [*drafts([OPS], CALM), _owner("ann@x.org")], clock, Limits(quiet=True))
    nights = [
        replace(CALM, from_at=CALM.from_at + k * DAY_S, until_at=CALM.until_at + k * DAY_S) for k in (1, 2)
    ]

    for night in nights:
        clock.sleep(DAY_S)
        run(tmp_path, carrier, drafts([OPS], night), clock)

    digests = [letter for letter in carrier.letters if letter.kind == "digest"]
    assert carrier.readers.count("ann@x.org") == 1
    assert b"Held back:  1 digest of quiet days (2026-09-22: 0 alerts, 1 to review, 2 runs)" in (
        digests[0].content.replace(b"=\r\n", b"").replace(b"\r\n            ", b" ")
    )
    assert b"Held back" not in digests[1].content


def test_no_more_than_so_many_letters_a_minute(tmp_path: Path) -> None:
    clock, carrier = FakeClock(), Carrier()
    start_s = clock.mono_s()

    run(tmp_path, carrier, [_owner(f"u{i}@x.org") for i in range(25)], clock, Limits(per_minute=10))

    assert len(carrier.letters) == 25
    assert 120 <= clock.mono_s() - start_s < 180


def test_what_is_beyond_the_nights_number_waits_and_the_digest_does_not(tmp_path: Path) -> None:
    clock, carrier, few = FakeClock(), Carrier(), Limits(per_night=3)
    letters = [*drafts([OPS]), *(_owner(f"u{i}@x.org") for i in range(5))]

    first = run(tmp_path, carrier, letters, clock, few)
    at_once = run(tmp_path, carrier, letters, clock, few)
    clock.sleep(DAY_S)
    next_night = run(tmp_path, carrier, [], clock, few)

    assert _statuses(first) == [Status.SENT] * 4 + [Status.WAITING] * 2
    assert "per_night" in first[-1].kept.state.detail
    assert _statuses(at_once) == _statuses(first)
    assert _statuses(next_night) == [Status.SENT] * 2
    assert len(carrier.readers) == len(set(carrier.readers)) == 6


def test_a_letter_that_waited_for_a_week_is_given_up_and_said(tmp_path: Path) -> None:
    clock, carrier = FakeClock(), Carrier(ops=Outcome(Fate.DEFERRED, "451 later"))
    run(tmp_path, carrier, drafts([OPS]), clock)
    clock.sleep(8 * DAY_S)
    carrier.answers.clear()

    (done,) = run(tmp_path, carrier, [], clock)

    assert done.kept.state.status is Status.EXPIRED
    assert carrier.letters == []

    box = Letterbox(done.kept.path.parents[1], clock)
    box.call_again(done.kept)
    assert _statuses(run(tmp_path, carrier, [], clock)) == [Status.SENT]
    assert carrier.readers == [OPS]


@pytest.mark.parametrize(
    ("fate", "word"), [(Fate.UNCLEAR, "1 perhaps not arrived"), (Fate.REFUSED, "1 refused")]
)
def test_the_next_digest_says_what_became_of_letters_and_names_nobody(
    fate: Fate, word: str, tmp_path: Path
) -> None:
    carrier, clock = Carrier(ann=Outcome(fate, "no word")), FakeClock()
    run(tmp_path, carrier, [_owner("ann@x.org")], clock)

    run(tmp_path, carrier, drafts([OPS]), clock)

    (letter,) = carrier.letters
    assert f"Letters:    {word}".encode() in letter.content
    assert b"ann@x.org" not in letter.content


def test_trouble_with_the_server_stops_after_two_and_trouble_with_a_reader_does_not(tmp_path: Path) -> None:
    broken = Outcome(Fate.DEFERRED, "cannot be reached", "mail-server")
    readers = [f"u{i}@x.org" for i in range(6)]
    down = Carrier(**{r.partition("@")[0]: broken for r in readers})
    picky = Carrier(**{r.partition("@")[0]: Outcome(Fate.REFUSED, "550") for r in readers[:5]})

    first = run(tmp_path, down, [_owner(r) for r in readers])
    second = run(tmp_path, picky, [_owner(r) for r in readers])

    assert _statuses(first) == [Status.DEFERRED] * 2 + [Status.WAITING] * 4
    assert {d.trouble for d in first} == {"mail-server"}
    assert _statuses(second) == [Status.REFUSED] * 5 + [Status.SENT]


def test_an_answer_between_two_troubles_lets_the_rest_go(tmp_path: Path) -> None:
    unclear = Outcome(Fate.UNCLEAR, "timed out", "mail-server")
    later = replace(unclear, fate=Fate.DEFERRED)

    mixed = run(tmp_path / "in a row", Carrier(a=unclear, b=later), [_owner(f"{u}@x.org") for u in "abc"])
    apart = run(tmp_path / "apart", Carrier(a=unclear, c=later), [_owner(f"{u}@x.org") for u in "abcd"])

    assert _statuses(mixed) == [Status.UNCLEAR, Status.DEFERRED, Status.WAITING]
    assert _statuses(apart) == [Status.UNCLEAR, Status.SENT, Status.DEFERRED, Status.SENT]


def test_a_dry_run_leaves_a_letter_that_nobody_sends(tmp_path: Path) -> None:
    box, carrier = Letterbox(tmp_path, FakeClock()), Carrier()
    for draft in drafts([OPS]):
        _, path = Post(box, "g@x.org", False).show(draft)

    run(tmp_path, carrier, [])

    assert path.exists()
    assert carrier.letters == []


def test_a_letter_that_was_sent_keeps_its_bytes(tmp_path: Path) -> None:
    run(tmp_path, Carrier(), drafts([OPS]))
    (one,) = kept(tmp_path)
    sent = one.letter_path.read_bytes()
    (draft,) = drafts([OPS])
    later = replace(draft, compose=lambda sort: replace(draft.compose(sort), content=b"another date"))

    Post(Letterbox(tmp_path, FakeClock()), "slurm-guard@hpc.example.org", False).show(later)

    assert one.letter_path.read_bytes() == sent


def test_a_letter_whose_file_is_gone_is_said_and_stops_no_other(tmp_path: Path) -> None:
    carrier = Carrier(a=Outcome(Fate.DEFERRED, "451"))
    run(tmp_path, carrier, drafts(["a@example.org"]))
    kept(tmp_path)[0].letter_path.unlink()
    carrier.answers.clear()

    done = run(tmp_path, carrier, drafts(["b@example.org"]))

    assert sorted(s.value for s in _statuses(done)) == ["expired", "sent"]


def test_a_machine_that_stopped_while_sending_leaves_it_unclear(tmp_path: Path) -> None:
    class Stop(BaseException):
        pass

    class Dying:
        def send(self, letter: mail.Letter, before_handover: Callable[[], None]) -> Outcome:
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path, Dying(), drafts([OPS]))
    (one,) = kept(tmp_path)
    one.path.write_text(one.path.read_text().replace(one.state.boot, "00000000-another-boot"))

    (done,) = run(tmp_path, Carrier(), drafts([OPS]))

    assert done.kept.state.status is Status.UNCLEAR


@pytest.mark.parametrize(
    ("day", "days", "said"),
    [
        ("2026-09-26", ["saturday"], True),
        ("2026-09-26", ["Sunday"], False),
        ("2026-12-24", ["12-24"], True),
        ("2026-12-24", ["2027-12-24"], False),
        ("2026-12-24", [], False),
    ],
)
def test_quiet_days_are_weekdays_and_dates_of_the_sites_zone(day: str, days: list[str], said: bool) -> None:
    from datetime import datetime

    zone = load_zone("Europe/Berlin")
    midnight = datetime.fromisoformat(f"{day}T00:30").replace(tzinfo=zone).timestamp()

    assert is_quiet(midnight, zone, days) is said


def test_a_night_is_the_date_in_the_sites_zone_and_the_window() -> None:
    one, other = (mail.night_of(NIGHT, Options(zone=load_zone(z)).zone) for z in ("UTC", "America/New_York"))
    hour = mail.night_of(replace(NIGHT, until_at=NIGHT.from_at + 3600), load_zone("UTC"))

    assert (one.day, other.day) == ("2026-09-22", "2026-09-21")
    assert one.key != hour.key
