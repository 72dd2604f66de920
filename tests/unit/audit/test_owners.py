"""Which of a run's processes are linked to its progress."""

from dataclasses import replace

from slurm_guard.audit.holds import GpuUser, LogHold
from slurm_guard.audit.owners import in_doubt, link


def _user(pid: int, gpu: str = "g0", **more: object) -> GpuUser:
    facts: dict[str, object] = {
        "node": "n1", "pid": pid, "start_ticks": 1, "uid": 1000, "ppid": 50, "exe": "/usr/bin/python3",
        "cmdline": f"python {pid}.py", "parents": ("bash",), "flags": (), "how": "cgroup", "start_at": 0.0,
        "first_at": 0.0, "last_at": 1000.0, "gpus": (gpu,), "sm_ms": 1000, "written_b": 0,
    }  # fmt: skip
    return GpuUser(**{**facts, **more})  # type: ignore[arg-type]


def _hold(*pids: int, how: str = "fd") -> LogHold:
    return LogHold("n1", "/log", how, 1000, frozenset(pids))


def _classes(
    users: list[GpuUser], logs: list[LogHold], flows: set[tuple[str, int, int]] | None = None
) -> list[str]:
    return [u.cls for u in link(users, logs, flows or set())]


def test_the_holder_of_the_log_is_linked_and_the_other_on_its_gpu_is_stray() -> None:
    assert _classes([_user(1), _user(2, exe="/tmp/x")], [_hold(1)]) == ["linked", "stray"]


def test_an_inherited_stdout_tells_nobody_apart() -> None:
    assert _classes([_user(1), _user(2)], [_hold(1, 2, how="stdout")]) == ["kin", "kin"]


def test_who_wrote_the_bytes_of_a_shared_stdout_is_linked() -> None:
    users = [_user(1, written_b=2000), _user(2, written_b=3)]

    assert _classes(users, [_hold(1, 2, how="stdout")]) == ["linked", "stray"]


def test_ranks_of_one_launcher_are_linked_with_the_one_that_logs() -> None:
    users = [_user(k, f"g{k}", parents=("torchrun", "bash")) for k in range(4)]

    assert _classes(users, [_hold(0)]) == ["linked"] * 4


def test_ranks_on_another_node_are_linked_by_program_and_launcher() -> None:
    users = [_user(1, parents=("torchrun",)), _user(1, parents=("torchrun",), node="n2", ppid=99)]

    assert _classes(users, [_hold(1)]) == ["linked", "linked"]


def test_a_partner_over_a_local_connection_is_not_accused() -> None:
    users = [_user(1), _user(2, exe="/usr/bin/vllm", ppid=77)]

    assert _classes(users, [_hold(1)], {("n1", 2, 1)}) == ["linked", "kin"]


def test_a_stage_before_the_training_is_not_beside_it() -> None:
    users = [_user(1, first_at=500.0), _user(2, exe="/x", last_at=400.0)]

    assert _classes(users, [_hold(1)]) == ["linked", "kin"]


def test_a_program_on_another_gpu_of_the_run_that_is_no_rank_is_stray() -> None:
    assert _classes([_user(1), _user(2, "g1", exe="/tmp/x", ppid=9)], [_hold(1)]) == ["linked", "stray"]


def test_a_lone_process_is_the_trainer() -> None:
    assert _classes([_user(1)], []) == ["linked"]


def test_of_two_programs_on_a_gpu_one_is_stray_even_where_nothing_tells_which_logs() -> None:
    users = [_user(1), _user(2, exe="/tmp/x", ppid=900, sm_ms=400)]

    assert _classes(users, [_hold(1, 2, how="stdout")]) == ["kin", "stray"]


def test_without_any_log_nobody_stands_beside_it() -> None:
    assert _classes([_user(1), _user(2, exe="/tmp/x", ppid=900)], []) == ["kin", "kin"]


def test_another_script_under_the_same_launcher_is_no_rank() -> None:
    users = [
        _user(0, "g0", parents=("torchrun",)),
        _user(1, "g1", parents=("torchrun",), cmdline="python o.py"),
    ]

    judged = link(users, [_hold(0)], set())

    assert [u.cls for u in judged] == ["linked", "kin"]
    assert in_doubt(judged[1], judged)


def test_ranks_differ_in_numbers_alone() -> None:
    users = [_user(k, f"g{k}", parents=("deepspeed",), cmdline=f"python t.py --rank={k}") for k in range(3)]

    assert _classes(users, [_hold(0)]) == ["linked"] * 3


def test_a_second_training_may_log_on_the_stdout_that_all_inherit() -> None:
    own, inherited = _hold(2), _hold(1, 2, how="stdout")
    users = [_user(1, written_b=900), _user(2)]
    logs = [replace(own, counter=900), replace(inherited, counter=300)]

    assert _classes(users, logs) == ["kin", "linked"]
    assert _classes([replace(users[0], written_b=None), users[1]], logs) == ["kin", "linked"]
    assert _classes([replace(users[0], written_b=9), users[1]], logs) == ["stray", "linked"]


def test_ranks_may_log_on_the_stdout_that_all_inherit_beside_another_training() -> None:
    ranks = [_user(k, f"g{k}", parents=("torchrun",), ppid=61, cmdline="train.py") for k in range(2)]
    ranks[0] = replace(ranks[0], written_b=900)  # the one that logs
    other = _user(9, gpus=("g0", "g1"))
    logs = [replace(_hold(9), counter=40), replace(_hold(0, 1, 9, how="stdout"), counter=9000)]

    assert _classes([*ranks, other], logs) == ["kin", "kin", "linked"]
    stranger = _user(5, exe="/tmp/x", ppid=900)
    shared = [logs[0], replace(logs[1], pids=frozenset({0, 1, 5, 9}))]
    assert _classes([*ranks, stranger, other], shared)[:3] == ["kin", "kin", "stray"]  # it wrote nothing
    loud = replace(stranger, written_b=900)
    assert _classes([*ranks, loud, other], shared)[:3] == ["kin", "kin", "stray"]  # it worked less


def test_the_same_steps_on_stdout_are_no_second_training() -> None:
    own, inherited = _hold(1), _hold(1, 2, how="stdout")
    users = [_user(1), _user(2, exe="/tmp/x")]

    logs = [replace(own, counter=900), replace(inherited, counter=890)]
    assert _classes(users, logs) == ["linked", "stray"]
    paced = [replace(log, pace=pace) for log, pace in zip(logs, (1.0, 1.5), strict=True)]
    wrote = [users[0], replace(users[1], written_b=900)]
    assert _classes(wrote, paced) == ["linked", "kin"]  # as many steps by chance, in another time
    assert _classes(wrote, logs) == ["linked", "stray"]


def test_ranks_of_a_training_that_was_started_again_are_linked() -> None:
    first = [_user(k, f"g{k}", parents=("torchrun",), cmdline="t.py", last_at=400.0) for k in range(2)]
    again = [_user(9 + k, f"g{k}", parents=("torchrun",), cmdline="t.py", first_at=420.0) for k in range(2)]

    assert _classes([*first, *again], [_hold(0, 9)]) == ["linked"] * 4


def test_an_open_log_alone_does_not_make_a_writer() -> None:
    trainer, other = _user(1, written_b=900), _user(2, exe="/tmp/x", ppid=900, written_b=3)
    rank = _user(3, "g1", written_b=0)

    assert _classes([trainer, other, rank], [_hold(1, 2)]) == ["linked", "stray", "stray"]


def test_of_two_programs_that_wrote_enough_for_one_log_neither_is_its_writer_by_that() -> None:
    ranks = [_user(k, f"g{k}", parents=("torchrun",), written_b=0) for k in range(2)]
    trainer = replace(ranks[0], written_b=2000)
    other = _user(9, exe="/tmp/x", ppid=900, gpus=("g0", "g1"), written_b=5000, sm_ms=900)

    one = _hold(0, 1, 9, how="stdout")
    assert _classes([trainer, ranks[1], other], [one]) == ["kin", "kin", "stray"]
    two = [one, replace(one, path="/second")]
    assert _classes([trainer, ranks[1], other], two)[0] == "linked"


def test_ranks_count_together_against_a_program_that_is_on_all_their_gpus() -> None:
    ranks = [_user(k, f"g{k}", sm_ms=600) for k in range(4)]
    other = _user(9, exe="/tmp/x", ppid=900, gpus=("g0", "g1", "g2", "g3"), sm_ms=1600)

    classes = _classes([*ranks, other], [_hold(0, 1, 2, 3, 9, how="stdout")])

    assert classes == ["kin"] * 4 + ["stray"]


def test_of_two_programs_that_hold_the_one_log_neither_is_its_writer_where_no_bytes_are_known() -> None:
    trainer = _user(1, written_b=None)
    other = _user(2, exe="/tmp/x", ppid=900, sm_ms=400, written_b=None)
    rank = _user(3, "g1", written_b=None)

    assert _classes([trainer, other, rank], [_hold(1, 2)]) == ["kin", "stray", "kin"]


def test_a_child_that_inherited_the_log_is_no_stranger() -> None:
    child = _user(2, exe="/opt/render", ppid=1, sm_ms=400, written_b=None)

    assert _classes([_user(1, written_b=None), child], [_hold(1, 2)]) == ["kin", "kin"]


def _started_again() -> list[GpuUser]:
    first = [_user(k, f"g{k}", parents=("torchrun",), cmdline="t.py", last_at=400.0) for k in range(2)]
    again = [_user(9 + k, f"g{k}", parents=("torchrun",), cmdline="t.py", first_at=420.0) for k in range(2)]
    return [*first, *again]


def test_what_works_beside_a_training_that_was_started_again_is_not_tied_by_coming_after_the_first() -> None:
    beside = _user(20, "g0", exe="/dev/shm/t", cmdline="t.py", first_at=430.0)

    assert _classes([*_started_again(), beside], [_hold(0, 9)])[-1] == "stray"
    inherited = _hold(0, 1, 9, 10, 20, how="stdout")
    assert _classes([*_started_again(), replace(beside, written_b=None)], [inherited])[-1] == "stray"


def test_a_stage_between_two_trainings_is_beside_neither() -> None:
    between = _user(20, "g0", exe="/opt/eval", first_at=400.0, last_at=420.0)

    assert _classes([*_started_again(), between], [_hold(0, 9)])[-1] == "kin"
