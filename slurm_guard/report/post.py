"""From what a night would write to whom, to letters that wait in the box: none twice, each in its thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slurm_guard.report import words
from slurm_guard.report.letter import CHAT, DIGEST, Letter, Strand
from slurm_guard.report.letterbox import NEVER_SENT, PENDING, Kept, Letterbox, State, Status
from slurm_guard.report.mail import Night, Sort, letter_id, month_root
from slurm_guard.report.view import Fact

_GONE = (Status.SENT, Status.UNCLEAR, Status.SENDING)
_MOST_HELD = 7  # judgement: a week of quiet days; the rest is counted


@dataclass(frozen=True, slots=True)
class Draft:
    """A letter that may be written. `digest`: of what it says; `alert`: goes out on quiet days too; `note`:
    the night in a few words, for the digest after it if this one is held back."""

    kind: str
    to: str
    night: Night
    digest: str
    compose: Callable[[Sort], Letter]
    alert: bool = False
    note: str = ""

    @property
    def reader(self) -> tuple[str, str]:
        return self.kind, self.to


class Post:
    """Writes drafts into a letterbox as `sender`. `quiet`: whether today is a quiet day."""

    def __init__(self, box: Letterbox, sender: str, quiet: bool) -> None:
        self._box, self._sender, self._quiet = box, sender, quiet

    def show(self, draft: Draft) -> tuple[Letter, Path]:
        """The letter as it would be sent, as a file that nobody sends."""
        letter = self._compose(draft)
        return letter, self._box.write_letter(draft.night.key, letter)

    def put(self, draft: Draft) -> Kept:
        """In the box after this; what was there before stays as it was."""
        known = self._box.find(draft.night.key, draft.reader, self._id(draft))
        if known is not None and known.state.status not in NEVER_SENT:
            return known
        letter = self._compose(draft)
        held = self._quiet and draft.kind in (DIGEST, CHAT) and not draft.alert
        status = Status.HELD if held else Status.WAITING
        about = State(
            draft.to, letter.envelope.sender, draft.kind, letter.message_id, letter.subject,
            draft.night.day, draft.alert, draft.note, status, 0.0, 0.0, "a quiet day" if held else "",
        )  # fmt: skip
        return self._box.queue(draft.night.key, letter, about)

    def _id(self, draft: Draft) -> str:
        return letter_id(draft.night, draft.digest, draft.reader, self._sender)

    def _compose(self, draft: Draft) -> Letter:
        before = self._box.of_reader(draft.night.key, draft.reader)
        own = self._id(draft)
        earlier = tuple(
            k.state.message_id
            for k in before
            if k.state.status in _GONE and k.state.message_id not in ("", own)
        )
        strand = Strand(own, month_root(draft.night, draft.reader, self._sender), earlier)
        facts = self._facts(draft) if draft.kind == DIGEST else ()
        return draft.compose(Sort(draft.kind, strand, facts))

    def _facts(self, draft: Draft) -> tuple[Fact, ...]:
        """What this reader was not sent since his last digest, and what became of other letters since."""
        kept = self._box.recent()
        own = [k for k in kept if (k.state.kind, k.state.to) == draft.reader]
        since_at = max((k.state.at for k in own if k.state.status is Status.SENT), default=0.0)
        held = [k for k in own if k.state.status is Status.HELD and k.state.at > since_at]
        # A night that was held back and is audited again is this very letter, or said with its last count.
        nights = {k.series: k for k in held if k.path.parent.name != draft.night.key}
        return (*_held(list(nights.values())), *_troubles(kept, since_at))


def _held(held: Sequence[Kept]) -> list[Fact]:
    if not held:
        return []
    said = "; ".join(f"{k.state.day}: {k.state.note}" for k in held[-_MOST_HELD:])
    more = f"; and {len(held) - _MOST_HELD} before" if len(held) > _MOST_HELD else ""
    return [Fact("Held back", f"{words.plural(len(held), 'digest')} of quiet days", said + more)]


def _troubles(kept: Sequence[Kept], since_at: float) -> list[Fact]:
    """Letters that nobody got, or perhaps nobody: without names, as a digest's reader need not know them."""
    lately = [k.state.status for k in kept if k.state.at > since_at]
    counts = [
        (lately.count(status), said)
        for status, said in (
            (Status.UNCLEAR, "perhaps not arrived"),
            (Status.REFUSED, "refused"),
            (Status.EXPIRED, "given up"),
        )
    ]
    counts.append((sum(k.state.status in PENDING for k in kept), "waiting"))
    said = ", ".join(f"{n:,} {word}" for n, word in counts if n)
    return [Fact("Letters", said, "of earlier runs: slurm-guard mail --list")] if said else []
