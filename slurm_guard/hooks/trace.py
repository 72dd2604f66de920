"""One line to syslog: all that a hook may say. Never blocks, never raises for a missing or full log."""

import _socket  # the C module under `socket`, which would cost the hook 3 ms of imports
import os
import time

MAX_LINE = 900  # bytes; rsyslog and journald take more, RFC 3164 promises 1024 with the header
_DAEMON_WARNING = 3 * 8 + 4


def plain(text: str) -> str:
    """Printable ASCII on one line: what a job's owner chose must not forge or break a log line."""
    escaped = text.encode("unicode_escape", "backslashreplace").decode("ascii", "replace")
    return escaped if len(escaped) <= MAX_LINE else escaped[:MAX_LINE] + "…".encode("unicode_escape").decode()


def format_line(tag: str, text: str) -> bytes:
    """The datagram as libc's syslog(3) would send it."""
    stamp = time.strftime("%b %e %H:%M:%S")
    return f"<{_DAEMON_WARNING}>{stamp} slurm-guard-{tag}[{os.getpid()}]: {plain(text)}".encode("ascii")


def send_trace(tag: str, text: str, address: str) -> bool:
    """Send one line to the datagram socket at `address`; False: nobody took it."""
    try:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC, 0)
    except OSError:
        return False
    try:
        sock.setblocking(False)  # a log daemon that has stopped reading must not stop a job
        sock.connect(address)
        sock.send(format_line(tag, text))
    except (OSError, ValueError, TypeError):  # absent, full, refused; a NUL or an overlong address
        return False
    finally:
        sock.close()
    return True
