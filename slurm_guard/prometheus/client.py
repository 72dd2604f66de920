"""One server's HTTP API: bounded in time, size and tries, and never led elsewhere.

A token goes to the configured address alone: redirects are refused and the environment's proxies are not
used. What comes back is bytes; answer.py judges them.
"""

import http.client
import ipaddress
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from typing import IO, NoReturn

from slurm_guard.errors import EXIT_USAGE, GuardError

MOST_B = 32 << 20  # of one answer: a million readings. Judgement
MOST_TRIES = 6
FIRST_WAIT_S, MOST_WAIT_S = 1.0, 60.0  # between tries, doubled each time; Retry-After is held to the second
_CHUNK_B = 1 << 16
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_SHUT = frozenset({401, 403, 407})


class TooMuch(Exception):
    """The answer is larger than it may be, or the server says so of the query: ask for less."""


class NoAnswer(Exception):
    """No whole answer, after every try that there was time for."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where to ask and as whom. `auth`: the header's value, null: none."""

    url: str
    auth: str | None = None
    ca_file: str | None = None
    answer_s: float = 60.0  # the longest that one answer may take
    total_s: float = 1800.0  # … and all of them together, with waiting


def check_url(url: str, *, has_secret: bool) -> str:
    """The address without its last slash. Raises GuardError prometheus-url, prometheus-plain."""
    try:
        parts = urllib.parse.urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_ok = urllib.parse.urlsplit(""), False
    plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_ok or not plain:
        _refuse_url(url, "is no http:// or https:// address")
    if parts.username is not None or parts.password is not None:
        _refuse_url(
            f"{parts.scheme}://…@{parts.hostname}", "holds a user or password: others can read it there"
        )
    if parts.query or parts.fragment:
        _refuse_url(url, "has more than a host and a path")
    if has_secret and parts.scheme == "http" and not _is_here(parts.hostname or ""):
        raise GuardError(
            "prometheus-plain",
            f"{url} is not encrypted: the token or password would be readable on its way",
            "name an https:// address, or take the secret out of [prometheus]",
            EXIT_USAGE,
        )
    return url.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_url(url: str, wrong: str) -> NoReturn:
    raise GuardError(
        "prometheus-url",
        f"{url[:200]!a} {wrong}",
        "for example: --url http://prometheus.example.org:9090",
        EXIT_USAGE,
    )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None  # then it is an HTTPError of that number


@dataclass(slots=True)
class Prometheus:
    """The server. `sleep` and `mono_s` are the machine's unless a test brings its own."""

    access: Access
    sleep: Callable[[float], None] = time.sleep
    mono_s: Callable[[], float] = time.monotonic
    n_asked: int = 0
    n_again: int = 0  # answers that were asked for once more
    _opener: urllib.request.OpenerDirector = field(init=False)
    _until_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._until_s = self.mono_s() + self.access.total_s
        try:
            trust = ssl.create_default_context(cafile=self.access.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise GuardError(
                "prometheus-ca", f"prometheus.ca_file: {self.access.ca_file}: {error}", "", EXIT_USAGE
            ) from None
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), _NoRedirect(), urllib.request.HTTPSHandler(context=trust)
        )

    def ask(self, query: str, at: float) -> bytes:
        """The answer to an instant query. Raises TooMuch, NoAnswer, and GuardError prometheus-denied,
        prometheus-redirect: nothing else would be answered either."""
        words = urllib.parse.urlencode({"query": query, "time": f"{at:.3f}"})
        request = urllib.request.Request(f"{self.access.url}/api/v1/query?{words}")  # noqa: S310 - check_url
        request.add_header("Accept", "application/json")
        request.add_header("User-Agent", "slurm-guard")
        if self.access.auth is not None:
            request.add_unredirected_header("Authorization", self.access.auth)
        wait_s, said = FIRST_WAIT_S, "there was no time left"
        for _ in range(MOST_TRIES):
            left_s = self._until_s - self.mono_s()
            if left_s <= 0:
                break
            self.n_asked += 1
            try:
                return self._read(request, min(self.access.answer_s, left_s))
            except urllib.error.HTTPError as error:
                with error:
                    said, asked_s = f"HTTP {error.code}", self._judge(error)
            except (OSError, http.client.HTTPException) as error:
                said, asked_s = _words(error), None
            pause_s = min(MOST_WAIT_S, wait_s if asked_s is None else asked_s)
            if self.mono_s() + pause_s >= self._until_s:
                break
            self.n_again += 1
            self.sleep(pause_s)
            wait_s *= 2
        raise NoAnswer(said)

    def _read(self, request: urllib.request.Request, limit_s: float) -> bytes:
        """The body. A server that sends a byte now and then is cut off when its time is over, too."""
        until_s = self.mono_s() + limit_s
        parts, size = [], 0
        with self._opener.open(request, timeout=limit_s) as answer:
            while part := answer.read1(_CHUNK_B):
                size += len(part)
                if size > MOST_B:
                    raise TooMuch(f"an answer of more than {MOST_B >> 20} MiB")
                if self.mono_s() > until_s:
                    raise TimeoutError("the answer took too long")
                parts.append(part)
            told = answer.headers.get("Content-Length")
        if told is not None and told.isdigit() and int(told) != size:
            raise http.client.IncompleteRead(b"")
        return b"".join(parts)

    def _judge(self, error: urllib.error.HTTPError) -> float | None:
        """Seconds that the server asks for before the next try; null: it names none."""
        if 300 <= error.code < 400:
            raise GuardError(
                "prometheus-redirect",
                f"{self.access.url} sends us elsewhere (HTTP {error.code}), which is not followed",
                "name the address that answers itself",
            )
        if error.code in _SHUT:
            raise GuardError(
                "prometheus-denied",
                f"{self.access.url} answers HTTP {error.code}",
                "token_file, or user and password_file, in [prometheus]",
            )
        if error.code in (413, 422):  # "query processing would load too many samples into memory"
            raise TooMuch(f"HTTP {error.code}")
        if error.code not in _AGAIN:
            raise NoAnswer(f"HTTP {error.code}")
        asked = (error.headers.get("Retry-After") or "").strip()
        return float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else None


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return (str(reason) or type(error).__name__)[:200]
