"""Chats and webhooks through apprise, imported here alone, and only where [chat] names a file of URLs."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.model import Account, Audit, Judgement, Verdict
from slurm_guard.report import bars, mail, words
from slurm_guard.report.decisions import is_set_aside
from slurm_guard.report.letter import CHAT, Envelope, Letter, Strand
from slurm_guard.report.safe import clean
from slurm_guard.report.secret import read_private
from slurm_guard.report.transport import Fate, Outcome

_MOST_NAMED = 5  # judgement: a chat is no report


def read_urls(path: Path) -> dict[str, str]:
    """Key → URL, one of each line that is no comment. The key is what state files and output may show.

    Raises GuardError secret-missing, secret-unsafe, chat-empty.
    """
    lines = (line.strip() for line in read_private(path, "chat.urls_file").splitlines())
    urls = [line for line in lines if line and not line.startswith("#")]
    if not urls:
        raise GuardError("chat-empty", f"chat.urls_file: {path} names no URL", "write one a line", EXIT_USAGE)
    return {key_of(url): url for url in urls}


def key_of(url: str) -> str:
    """`slack-3f9c…`: the service, and a digest that gives nothing of the secret away."""
    scheme = url.partition("://")[0]
    plain = scheme if scheme.isascii() and scheme.isalnum() and len(scheme) <= 20 else "chat"
    return f"{plain}-{hashlib.sha256(url.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


class ChatTransport:
    """Carries letters of kind chat. Raises GuardError chat-missing."""

    def __init__(self, urls: dict[str, str]) -> None:
        try:
            import apprise
        except ImportError:
            raise GuardError(
                "chat-missing", "chat.urls_file is set, and apprise is not installed",
                "pip install 'slurm-guard[chat]', or leave chat.urls_file empty", EXIT_USAGE,
            ) from None  # fmt: skip
        self._urls, self._apprise = urls, apprise
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it tells URLs, which are secrets

    def send(self, letter: Letter, before_handover: Callable[[], None]) -> Outcome:
        """See Transport. apprise tells yes or no alone, and its no may come after the service said yes."""
        url = self._urls.get(letter.envelope.to)
        if url is None:
            return Outcome(Fate.REFUSED, "no URL of chat.urls_file any more")
        try:
            service = self._apprise.Apprise()
            known = service.add(url)
        except Exception as error:  # noqa: BLE001  # a hundred services' code, none of it ours
            return Outcome(Fate.DEFERRED, f"{type(error).__name__} in apprise, before anything was sent")
        if not known:
            return Outcome(Fate.REFUSED, "apprise does not know such a URL")
        before_handover()
        try:
            taken = service.notify(
                title=letter.subject, body=letter.content.decode("utf-8"), body_format="text"
            )
        except Exception as error:  # noqa: BLE001  # likewise
            return Outcome(Fate.UNCLEAR, f"{type(error).__name__} in apprise")
        return (
            Outcome(Fate.SENT, "taken") if taken else Outcome(Fate.UNCLEAR, "the service confirmed nothing")
        )


def compose(audit: Audit, site: str, names: bool, to: str, sort: mail.Sort) -> Letter:
    """A few lines. `names`: whether jobs and users may be named; otherwise counts alone."""
    strand = sort.strand or Strand("<chat@localhost>")
    night = audit.judgements
    ledger: dict[str, int] = {}
    for judgement in night:
        for account, gpu_ms in bars.shown_ledger(judgement).items():
            ledger[account] = ledger.get(account, 0) + gpu_ms
    total = sum(ledger.values())
    seen = words.percent(total - ledger.get(Account.UNOBSERVED.value, 0), total)
    again = " (audited again)" if strand.earlier else ""
    lines = [f"{mail.counts(audit)}; {seen} of the GPU time observed."]
    if names:
        lines += _named([j for j in night if j.verdict is Verdict.ALERT and not is_set_aside(j)])
    subject = f"{clean(site or audit.cluster, 60)}, {strand.message_id[1:11]}{again}"
    envelope = Envelope("", to)
    return Letter(envelope, subject, strand.message_id, "\n".join(lines).encode(), CHAT)


def _named(alerts: Sequence[Judgement]) -> list[str]:
    lines = [f"ALERT: job {clean(j.run.job, 40)} of {clean(j.run.user, 40)}" for j in alerts[:_MOST_NAMED]]
    more = len(alerts) - _MOST_NAMED
    return [*lines, *([f"and {more:,} more"] if more > 0 else [])]
