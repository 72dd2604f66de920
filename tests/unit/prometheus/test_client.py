"""The HTTP client: bounded, patient, and never led elsewhere."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.prometheus import client
from slurm_guard.prometheus.client import Access, NoAnswer, Prometheus, TooMuch, check_url
from tests.unit.prometheus.talker import Reply, Talker, talking

FINE = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}}).encode()


class Patience:
    """A clock that goes on only while somebody waits."""

    def __init__(self) -> None:
        self.now_s, self.waits = 0.0, list[float]()

    def sleep(self, wait_s: float) -> None:
        self.waits.append(wait_s)
        self.now_s += wait_s

    def mono_s(self) -> float:
        return self.now_s


def _in_turn(*replies: Reply) -> Callable[[str, float], Reply]:
    left = list(replies)
    return lambda query, at: left.pop(0) if len(left) > 1 else left[0]


def _client(server: Talker, clock: Patience, **access: object) -> Prometheus:
    return Prometheus(replace(Access(server.url), **access), clock.sleep, clock.mono_s)  # type: ignore[arg-type]


def test_an_answer_is_given_as_it_came() -> None:
    clock = Patience()
    with talking(_in_turn((200, {}, FINE))) as server:
        assert _client(server, clock).ask('up{a="b"}[60s]', 100.5) == FINE

    assert server.asked == [('up{a="b"}[60s]', 100.5)]
    assert clock.waits == []


def test_429_is_waited_for_as_long_as_the_server_asks() -> None:
    clock = Patience()
    with talking(_in_turn((429, {"Retry-After": "7"}, b""), (503, {}, b""), (200, {}, FINE))) as server:
        asked = _client(server, clock)

        assert asked.ask("up", 1.0) == FINE

    assert clock.waits == [7.0, 2.0]
    assert (asked.n_asked, asked.n_again) == (3, 2)


@pytest.mark.parametrize("word", ["Fri, 27 Nov 2026 12:00:00 GMT", "-1", "1e9", "²", "", "99999999999999"])
def test_an_odd_retry_after_is_the_usual_wait(word: str) -> None:
    clock = Patience()
    reply = (429, {"Retry-After": word.encode("latin-1", "replace").decode("latin-1")}, b"")
    with talking(_in_turn(reply, (200, {}, FINE))) as server:
        _client(server, clock).ask("up", 1.0)

    assert clock.waits == [client.FIRST_WAIT_S]


def test_a_server_that_never_answers_is_left_after_so_many_tries() -> None:
    clock = Patience()
    with talking(_in_turn((429, {"Retry-After": "86400"}, b""))) as server:
        with pytest.raises(NoAnswer, match="429"):
            _client(server, clock).ask("up", 1.0)

    assert len(server.asked) == client.MOST_TRIES
    assert max(clock.waits) == client.MOST_WAIT_S


def test_no_wait_leads_beyond_the_time_for_all() -> None:
    clock = Patience()
    with talking(_in_turn((503, {"Retry-After": "50"}, b""))) as server:
        asked = _client(server, clock, total_s=120.0)
        for _ in range(3):
            with pytest.raises(NoAnswer):
                asked.ask("up", 1.0)

    assert clock.now_s < 120.0


def test_an_answer_without_an_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_B", 100_000)
    with talking(_in_turn((200, {}, b"x" * 5_000_000))) as server, pytest.raises(TooMuch):
        _client(server, Patience()).ask("up", 1.0)


def test_an_answer_that_breaks_off_is_asked_for_again() -> None:
    clock = Patience()
    with talking(_in_turn((200, {"Content-Length": "900"}, FINE), (200, {}, FINE))) as server:
        assert _client(server, clock).ask("up", 1.0) == FINE

    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [413, 422])
def test_a_query_that_is_too_much_for_the_server_is_said(status: int) -> None:
    with talking(_in_turn((status, {}, b"{}"))) as server, pytest.raises(TooMuch):
        _client(server, Patience()).ask("up", 1.0)


def test_a_redirect_is_not_followed_and_the_token_stays_here() -> None:
    with talking(_in_turn((200, {}, FINE))) as other:
        with talking(_in_turn((302, {"Location": other.url}, b""))) as server:
            with pytest.raises(GuardError) as caught:
                _client(server, Patience(), auth="Bearer secret").ask("up", 1.0)

    assert caught.value.slug == "prometheus-redirect"
    assert other.asked == []
    assert "secret" not in str(caught.value)


def test_the_environment_s_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with talking(_in_turn((200, {}, FINE))) as proxy, talking(_in_turn((200, {}, FINE))) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        _client(server, Patience(), auth="Bearer secret").ask("up", 1.0)

    assert (len(server.asked), proxy.asked) == (1, [])
    assert server.authorizations == ["Bearer secret"]


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_shut_out_is_told_so_at_once(status: int) -> None:
    with talking(_in_turn((status, {}, b""))) as server, pytest.raises(GuardError) as caught:
        _client(server, Patience()).ask("up", 1.0)

    assert caught.value.slug == "prometheus-denied"
    assert len(server.asked) == 1


def test_nobody_there_is_no_answer() -> None:
    with talking(_in_turn((200, {}, FINE))) as server:
        url = server.url
    clock = Patience()

    with pytest.raises(NoAnswer):
        Prometheus(Access(url), clock.sleep, clock.mono_s).ask("up", 1.0)


@pytest.mark.parametrize(
    "url",
    ["", "ftp://h", "file:///etc/passwd", "h:9090", "http://", "http://u:p@h", "http://h?x=1", "http://h#x",
     "http://h:99999", "http://h/a b", "http://h\n/", "http://[::1"],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(GuardError) as caught:
        check_url(url, has_secret=False)

    assert caught.value.slug == "prometheus-url"
    assert "u:p" not in caught.value.sentence


def test_a_secret_does_not_travel_in_the_clear() -> None:
    assert check_url("https://h/prom/", has_secret=True) == "https://h/prom"
    assert check_url("http://127.0.0.1:9090", has_secret=True) == "http://127.0.0.1:9090"
    with pytest.raises(GuardError) as caught:
        check_url("http://h:9090", has_secret=True)

    assert caught.value.slug == "prometheus-plain"
