"""Whose the connections were that nobody saw: who was seen at their places, or was there at all."""

from slurm_guard.sampler.briefs import EVERY_S, LEAST_NOBODYS, LEAST_SIGHTINGS, NODES, Briefs
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Stat
from slurm_guard.sampler.tally import Tally
from slurm_guard.sampler.tcpdiag import LEFT, Passed
from slurm_guard.sampler.tcpends import key_of
from slurm_guard.sampler.writer import Instant

HERE, THERE = key_of("203.0.113.1:443"), key_of("203.0.113.2:443")
ELSEWHERE = key_of("198.51.100.1:22")


def _process(pid: int, run: str | None, uid: int) -> Process:
    process = Process(Stat(pid, "x", "S", 1, pid, 0, False), 0.0, Instant(0.0, 0.0))
    process.run, process.uid = run, uid
    return process


def _tally(*keys: bytes) -> Tally:
    tally = Tally()
    for key in keys:
        tally.add(key, failed=False, out_b=1, in_b=2)
    return tally


def _now(s: float) -> Instant:
    return Instant(1e9 + s, s)


def _told(briefs: Briefs, *keys: bytes) -> dict[str | None, tuple[str | None, int]]:
    """Counted for whom, how, after a minute."""
    briefs.due(_now(10))
    briefs.add_unknown(_tally(*keys), _now(20), 0)
    return {t.run: (t.how, t.n) for t in briefs.due(_now(20 + EVERY_S))}


def _briefs(*processes: Process) -> Briefs:
    briefs = Briefs()
    _look(briefs, *processes)
    _look(briefs, *processes)
    return briefs


def _look(briefs: Briefs, *processes: Process) -> None:
    mine = [p for p in processes if p.run is not None]
    briefs.look(mine, processes, {p.run for p in mine if p.run is not None})


A, B = _process(1, "a", 1001), _process(2, "b", 1002)
ROOT, LOGIN = _process(3, None, 0), _process(4, None, 1003)


def test_a_place_is_whose_connections_were_seen_there() -> None:
    briefs = _briefs(A, B)
    briefs.seen.note(HERE, "a")
    briefs.seen.note(THERE, "b")
    assert _told(briefs, HERE, HERE, THERE) == {"a": ("alike", 2), "b": ("alike", 1)}


def test_a_place_at_which_two_were_seen_is_nobodys() -> None:
    briefs = _briefs(A, B)
    briefs.seen.note(HERE, "a")
    briefs.seen.note(HERE, "b")
    assert _told(briefs, HERE) == {}


def test_a_port_is_his_who_was_often_enough_seen_at_it_alone() -> None:
    briefs = _briefs(A, B)
    for k in range(LEAST_SIGHTINGS - 1):
        briefs.seen.note_short(key_of(f"203.0.113.{k + 9}:443"), "a")
    assert _told(briefs, HERE) == {}
    briefs.seen.note_short(THERE, "a")
    briefs.seen.note_short(ELSEWHERE, "b")
    assert _told(briefs, HERE) == {"a": ("alike", 1)}


def test_long_connections_to_a_port_do_not_take_the_short_ones_of_others() -> None:
    briefs = _briefs(A, B)
    for k in range(100):
        briefs.seen.note(key_of(f"203.0.113.{k + 9}:443"), "b")
    assert _told(briefs, HERE) == {}


def test_somebody_of_whom_nobody_can_say_who_contests_a_port_and_a_place() -> None:
    briefs = _briefs(A, B)
    for k in range(LEAST_SIGHTINGS):
        briefs.seen.note_short(key_of(f"203.0.113.{k + 9}:443"), "a")
    briefs.add(Passed(None, None, None, LEFT, 1001), _tally(THERE), _now(5))
    assert _told(briefs, HERE) == {}


def test_the_node_services_short_connections_to_a_port_are_no_runs() -> None:
    briefs = _briefs(A, ROOT)
    for k in range(LEAST_SIGHTINGS + 1):
        briefs.seen.note_short(key_of(f"203.0.113.{k + 9}:443"), NODES)
    assert _told(briefs, HERE) == {}


def test_a_place_of_the_nodes_and_of_a_run_is_nobodys() -> None:
    briefs = _briefs(A, ROOT)
    briefs.seen.note(HERE, "a")
    briefs.seen.note(HERE, NODES)
    assert _told(briefs, HERE) == {}


def test_who_came_since_the_look_before_was_not_alone() -> None:
    briefs = _briefs(A, B)
    _look(briefs, B)  # a's run ended since; what ended meanwhile may have been its
    assert _told(briefs, HERE) == {}
    _look(briefs, B)
    assert _told(briefs, HERE) == {"b": ("alone", 1)}


def test_without_other_users_it_is_the_one_runs_or_the_nodes() -> None:
    assert _told(_briefs(A, ROOT), HERE) == {"a": ("alone", 1)}
    assert _told(_briefs(A, LOGIN), HERE) == {}
    assert _told(_briefs(A, B), HERE) == {}


def test_where_the_nodes_own_go_is_nobodys_unless_a_run_was_seen_there() -> None:
    briefs = _briefs(A, ROOT)
    briefs.seen.note_nodes([HERE, THERE])
    briefs.seen.note(THERE, "a")
    assert _told(briefs, HERE, THERE) == {"a": ("alike", 1)}
    briefs.seen.note(ELSEWHERE, NODES)
    assert _told(briefs, ELSEWHERE) == {}


def test_sightings_are_forgotten() -> None:
    briefs = _briefs(A, B)
    briefs.seen.note(HERE, "a")
    for _ in range(12):
        briefs.seen.age()
    assert _told(briefs, HERE) == {}


def test_many_places_of_nobodys_are_told_of_the_node() -> None:
    keys = [key_of(f"203.0.113.{k}:22") for k in range(LEAST_NOBODYS)]
    assert _told(_briefs(A, B), *keys) == {None: (None, LEAST_NOBODYS)}


def test_what_was_seen_open_is_told_with_its_holder_at_the_runs_end() -> None:
    briefs = _briefs(A, B)
    briefs.add(Passed("a", 7, "/usr/bin/nc", LEFT, 1001), _tally(HERE, THERE), _now(5))

    (told,) = briefs.end("a", _now(8))

    assert (told.how, told.pid, told.exe, told.n, told.in_b) == ("kernel", 7, "/usr/bin/nc", 2, 4)
    briefs.add(Passed("a", 7, "/usr/bin/nc", LEFT, 1001), _tally(HERE), _now(9))
    assert briefs.due(_now(500)) == []  # its stream may be sealed by now
