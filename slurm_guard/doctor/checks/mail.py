"""The mail: somebody reads it, its server takes it, and no letter is stuck."""

from collections.abc import Iterator

from slurm_guard.doctor.checks.values import count
from slurm_guard.doctor.facts import Facts
from slurm_guard.doctor.finding import HEAD, Check, Said, ok, problem, seen, warning

_AS_AUDITOR = "run it as root or as the user that mails"


def _readers(facts: Facts) -> Iterator[Said]:
    if not facts.config().mail.to:
        yield warning(
            "mail.to is empty, so that nobody is told of a night", 'to = ["ops@example.org"]   # in [mail]'
        )


def _server(facts: Facts) -> Iterator[Said]:
    conf = facts.config().mail
    if not (conf.to or conf.owners or conf.coordinators):
        yield ok("nobody is mailed, so no server is tried")
        return
    found = seen(facts.mail)
    where = conf.sendmail if conf.transport == "sendmail" else f"{conf.host}:{conf.port}"
    if found.error:
        yield problem(f"no letter would leave by {where}: {found.error}", found.hint or "see docs/mail.md")
    else:
        yield ok(f"{where} would take letters{' after a login' if conf.user else ''}")


def _chat(facts: Facts) -> Iterator[Said]:
    wrong = seen(facts.chat)
    if wrong.error:
        yield problem(f"no message would go to a chat: {wrong.error}", wrong.hint or "see docs/mail.md")


def _letters(facts: Facts) -> Iterator[Said]:
    stuck = seen(facts.letters)
    if not stuck:
        return
    one = stuck[-1]
    yield warning(
        f"{count(len(stuck), 'letter')} of the last two weeks did not go; the last one, to {one.to}, is "
        f"{one.status}: {one.detail}",
        f"slurm-guard mail --list; slurm-guard mail --again {one.name}",
    )


CHECKS = (
    Check(
        "mail-readers",
        "`mail.to` names somebody",
        "A report that nobody reads changes nothing.",
        '`to = ["ops@example.org"]`',
        HEAD,
        "the digest has readers",
        _readers,
    ),
    Check(
        "mail-server",
        "the mail server with the settings of `[mail]`: connection, TLS, login; no letter is sent",
        "A password that ran out shows here, and not in the morning that an alert was meant for.",
        "`[mail]` and the server's log",
        HEAD,
        "",
        _server,
        _AS_AUDITOR,
    ),
    Check(
        "chat",
        "`chat.urls_file`, where it is set: private, not empty, and apprise is installed",
        "A file that others may read gives away the keys to a chat.",
        "`chmod 600`; `pip install 'slurm-guard[chat]'`",
        HEAD,
        "no chat is set, or its URLs are kept as secrets",
        _chat,
        _AS_AUDITOR,
    ),
    Check(
        "letters",
        "letters in the outbox that do not go by themselves, or have waited for a day",
        "An unclear letter is never sent again by itself.",
        "`slurm-guard mail --list`, `--again`",
        HEAD,
        "no letter is stuck",
        _letters,
        _AS_AUDITOR,
    ),
)
