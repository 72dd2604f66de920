"""Takes one user out of what audits left: documents, indices, pages, letters, views. Sums stay."""

import dataclasses
import email
import email.policy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slurm_guard import document
from slurm_guard.errors import GuardError
from slurm_guard.model import Audit, Judgement, Outside, ProgressSummary
from slurm_guard.report.archive import DOCUMENT, list_nights, read_document, write_output

NOBODY = "(forgotten)"
_SENTENCE = "What this run did was forgotten at its user's request; its sums stay."
_PAGES = (".html", ".txt", ".csv", ".eml", ".png")  # made of a document, and to be made again
# Fields with free words, in which another run may name the user.
_TEXTS = frozenset(
    {"sentence", "detail", "text", "notes", "what", "source", "see", "clears", "why", "reason", "exe"}
    | {"problems", "sources", "by"}
)


@dataclass(frozen=True, slots=True)
class Who:
    """The user, as texts name him. An empty name names nobody."""

    uid: int
    name: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """His name as a word of its own, and his uid behind the word uid."""
        name = rf"(?<![\w.-]){re.escape(self.name)}(?![\w-])|" if self.name else ""
        return re.compile(rf"{name}(?<=\buid ){self.uid}\b")


def redact_audit(audit: Audit, who: Who) -> Audit:
    """The document without him; the same one where he is not in it."""
    masked = _mask(audit, who.pattern)
    judgements = tuple(
        _bare(judgement) if _is_his(judgement, who) else shown
        for judgement, shown in zip(audit.judgements, masked.judgements, strict=True)
    )
    outside = tuple(
        _stranger(was) if was.uid == who.uid else shown
        for was, shown in zip(audit.outside, masked.outside, strict=True)
    )
    done = replace(masked, judgements=judgements, outside=outside)
    return audit if done == audit else done


def _is_his(judgement: Judgement, who: Who) -> bool:
    return judgement.run.uid == who.uid or (
        judgement.run.uid is None and judgement.run.user == who.name != ""
    )


def _bare(judgement: Judgement) -> Judgement:
    run = replace(
        judgement.run, user=NOBODY, uid=None, name="", comment=None, work_dir=None, stdout=None, extra=None
    )
    return replace(
        judgement,
        run=run,
        sentence=_SENTENCE,
        findings=(),
        progress=ProgressSummary((), 0, 0, None, None, None, None, "none"),
        cost=replace(judgement.cost, comparison=None),
        timeline=None,
        notes=(),
        explained=(),
        left=None,
        again=(),
    )


def _stranger(outside: Outside) -> Outside:
    return replace(outside, pid=None, uid=None, exe=None, sentence=_SENTENCE)


def _mask(value: Any, pattern: re.Pattern[str], *, text: bool = False) -> Any:
    """The same value with the name left out of its free texts."""
    if isinstance(value, str):
        return pattern.sub(NOBODY, value) if text and type(value) is str else value
    if isinstance(value, tuple):
        return tuple(_mask(one, pattern, text=text) for one in value)
    if isinstance(value, list) and value and not isinstance(value[0], (int, float, type(None))):
        return [_mask(one, pattern, text=text) for one in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = {}
        for part in dataclasses.fields(value):
            was = getattr(value, part.name)
            now = _mask(was, pattern, text=part.name in _TEXTS)
            if now is not was and now != was:
                changes[part.name] = now
        return replace(value, **changes) if changes else value
    return value


def forget_reports(reports: Path, who: Who, *, apply: bool) -> tuple[dict[str, int], list[tuple[Path, str]]]:
    """(what was found by kind: nights, pages, indices; what could not be done)."""
    found = {"nights": 0, "pages": 0, "indices": 0}
    failed: list[tuple[Path, str]] = []
    for night in list_nights(reports):
        folder = reports / night
        try:
            audit = read_document(folder / DOCUMENT)
            done = redact_audit(audit, who)
            found["indices"] += _forget_index(folder / "history.json", who, apply=apply)
            if done is audit:
                continue
            found["nights"] += 1
            pages = [path for path in sorted(folder.iterdir()) if path.suffix in _PAGES]
            found["pages"] += len(pages)
            if apply:
                write_output(folder / DOCUMENT, document.to_json(done).encode(), 0o640, stale=pages)
        except (GuardError, OSError) as error:
            failed.append((folder, str(error)))
    return found, failed


def _forget_index(path: Path, who: Who, *, apply: bool) -> int:
    """The night's index (memory/nights.py): user names of runs that asked for a look or for nothing."""
    try:
        night = json.loads(path.read_text("utf-8"))
        rows = [row for kind in ("cells", "asked") for row in night[kind] if row["user"] == who.name != ""]
    except FileNotFoundError:
        return 0
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise OSError(f"{path} is no index: {error}") from None
    for row in rows:
        row["user"] = NOBODY
        row.update({"name": ""} if "name" in row else {})
    if rows and apply:
        text = json.dumps(night, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        write_output(path, f"{text}\n".encode(), 0o640)
    return bool(rows)


def letters_with(outbox: Path, who: Who, settled_before_at: float) -> tuple[list[Path], int]:
    """(files of letters that name him or went to him, the number of those that are still too young to go)."""
    files: list[Path] = []
    n_young = 0
    for path in sorted(outbox.glob("*/*.eml")):
        if path.is_symlink() or not _names(path, who.pattern):
            continue
        if max(one.stat().st_mtime for one in _of_letter(path)) < settled_before_at:
            files += _of_letter(path)
        else:
            n_young += 1
    return files, n_young


def _of_letter(path: Path) -> list[Path]:
    return [
        one for suffix in (".eml", ".json", ".handed-over") if (one := path.with_suffix(suffix)).is_file()
    ]


def _names(path: Path, pattern: re.Pattern[str]) -> bool:
    with path.open("rb") as file:
        letter = email.message_from_binary_file(file, policy=email.policy.default)
    return any(pattern.search(text) for text in _texts(letter))


def _texts(letter: Any) -> Iterator[str]:
    yield re.sub(r"[@<>,]", " ", str(letter.get("To", "")))
    for part in letter.walk():
        if part.get_content_maintype() == "text":
            yield str(part.get_content())


def without(who: Who) -> Callable[[bytes], bytes | None]:
    """For rewrite_lines: a line of views.jsonl that names him no more, as seen or as who looked."""

    def change(line: bytes) -> bytes | None:
        try:
            view = json.loads(line)
            view["users"] = [
                NOBODY if user in (who.name, f"uid {who.uid}") else user for user in view["users"]
            ]
            view["narrowed"] = who.pattern.sub(NOBODY, view["narrowed"])
            if view["uid"] == who.uid:
                view["by"], view["uid"] = NOBODY, None
            if view.get("login_uid") == who.uid:
                view["login_uid"] = None
        except (ValueError, KeyError, TypeError, RecursionError):
            return line
        new = json.dumps(view, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        return line if json.loads(new) == json.loads(line) else new

    return change
