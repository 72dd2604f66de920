"""How an event becomes one line of syslog, or one native datagram of journald. Pure.

journald's protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): `NAME=value\\n`, or for values that hold a newline
`NAME\\n`, their length as 64 bits little-endian, the value, `\\n`. One datagram is one entry.
"""

from __future__ import annotations

import struct

from slurm_guard import wire
from slurm_guard.digest import sha256
from slurm_guard.light import Any, Mapping, to_plain_json
from slurm_guard.sampler.patterns import pattern

IDENT = "slurm-guard-sampler"
MOST_LINE = 1800  # below syslog's traditional 2 KiB
_DAEMON = 3 * 8  # syslog's facility
ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6
# What a site may want to be woken by is a warning; what costs records is an error. Names without an entry
# are notices.
SEVERITY: dict[str, int] = {
    **dict.fromkeys(("foreign-process", "leftover", "bridge"), WARNING),
    **dict.fromkeys(("sampler-error", "seal-failed", "records-dropped", "segment-given-up"), ERROR),
    **dict.fromkeys(
        ("stalled", "helper-hung", "proc-hung", "reader-failed", "cap-reached", "nvml-hung"), WARNING
    ),
    **dict.fromkeys(("processes-truncated", "flows-truncated", "files-truncated"), WARNING),
    **dict.fromkeys(("holders-truncated", "programs-truncated"), WARNING),
    **dict.fromkeys(("gpu-map-contradicted", "events-suppressed", "nvml-apart", "config-unknown"), WARNING),
    **dict.fromkeys(("sampler-started", "gpu-found", "switched-on", "nvml-back", "cap-left"), INFO),
}
_STEPS = (400, 200, 100, 50, 25, 12, 6)  # characters a value keeps, until the whole fits: halved each time
_NOT_IN_NAMES = pattern(r"[^A-Za-z0-9]")
_FIELD = pattern(r"[A-Z][A-Z0-9_]{0,63}")  # journald drops fields with other names


def message_id(name: str) -> str:
    """The MESSAGE_ID of an event's kind: the same on every node and in every release."""
    return sha256(f"slurm-guard/event/{name}".encode("ascii", "replace")).hexdigest()[:32]


def severity(event: wire.Event) -> int:
    """syslog's number for an event: by its kind; a last word that tells of a fault is an error."""
    if event.name == "sampler-stopped" and str(event.detail.get("reason", "")).startswith("error"):
        return ERROR
    return SEVERITY.get(event.name, NOTICE)


def body_of(name: str, run: str | None, detail: Mapping[str, Any], most_b: int) -> str:
    """The event as one ASCII line of valid JSON within `most_b` bytes: values are shortened, not the text.

    What still does not fit is left out from the end, and `left_out` counts it.
    """
    whole: dict[str, Any] = {"event": name, "run": run}
    whole.update((key, value) for key, value in detail.items() if key not in ("event", "run"))
    text = _dump(whole)
    for limit in _STEPS:
        if len(text) <= most_b:
            return text
        whole = {str(key)[:64]: _shorten(value, limit) for key, value in whole.items()}
        text = _dump(whole)
    n_all = len(whole)
    while len(text) > most_b and len(whole) > 2:
        whole.pop("left_out", None)
        whole.popitem()
        whole["left_out"] = n_all - len(whole)
        text = _dump(whole)
    return text


def _dump(value: Any) -> str:
    return to_plain_json(value, default=str)


def _shorten(value: Any, limit: int) -> Any:
    """Texts and lists cut to `limit` with a mark that says so; numbers stay."""
    if isinstance(value, str):
        return value if len(value) <= limit else value[: limit - 1] + "~"
    if isinstance(value, (list, tuple)):
        kept = [_shorten(part, limit) for part in value[:limit]]
        return kept if len(value) <= limit else [*kept, f"~{len(value) - limit} more"]
    if isinstance(value, Mapping):
        pairs = list(value.items())[:limit]
        return {str(key)[:limit]: _shorten(part, limit) for key, part in pairs}
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)[:limit]


def syslog_line(pid: int, event: wire.Event) -> bytes:
    """For /dev/log. The JSON is ASCII on one line, so that a hostile name cannot forge another."""
    head = f"<{_DAEMON + severity(event)}>{IDENT}[{pid}]: "
    return (head + body_of(event.name, event.run, event.detail, MOST_LINE - len(head))).encode("ascii")


def datagram(pid: int, node: str, event: wire.Event) -> bytes:
    """For journald's own socket: the same line as MESSAGE, and every plain value as a field to search by."""
    parts = (event.run or "").split("/")
    fields: dict[str, Any] = {
        "MESSAGE": body_of(event.name, event.run, event.detail, MOST_LINE),
        "PRIORITY": severity(event),
        "SYSLOG_FACILITY": _DAEMON // 8,
        "SYSLOG_IDENTIFIER": IDENT,
        "SYSLOG_PID": pid,
        "MESSAGE_ID": message_id(event.name),
        "SLURM_GUARD_EVENT": event.name,
        "SLURM_GUARD_NODE": node,
        "SLURM_GUARD_RUN": event.run,
        "SLURM_GUARD_JOB": parts[1] if len(parts) == 5 else None,
    }
    for key, value in event.detail.items():
        name = f"SLURM_GUARD_{_NOT_IN_NAMES.sub('_', key).upper()}"
        if isinstance(value, (str, int, float)) and name not in fields:
            fields[name] = _shorten(value, _STEPS[0])
    return b"".join(_field(name, value) for name, value in fields.items() if value is not None)


def _field(name: str, value: Any) -> bytes:
    if _FIELD.fullmatch(name) is None:
        return b""
    raw = str(value).encode("utf-8", "replace")
    if b"\n" in raw:
        return name.encode("ascii") + b"\n" + struct.pack("<Q", len(raw)) + raw + b"\n"
    return name.encode("ascii") + b"=" + raw + b"\n"
