"""GRES indices mean boards by UUID or device file; what processes show confirms that, or contradicts it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_guard.sampler.gpumap import Map, expand, files_in, minor_of, uuids_of
from slurm_guard.sampler.reading import GpuInfo
from tests.unit.sampler.readings import INFO


def _boards(n: int, bus: list[int] | None = None) -> list[GpuInfo]:
    """Boards with minors 0..n-1; `bus[minor]`: place in the order of the bus, NVML's."""
    return [
        INFO._replace(uuid=f"GPU-{minor}", minor=minor, gpu_index=minor if bus is None else bus[minor])
        for minor in range(n)
    ]


def _map(tmp_path: Path, n: int, boards: list[GpuInfo], site: list[str] | None = None) -> Map:
    for minor in range(n):
        (tmp_path / f"nvidia{minor}").touch()
    (tmp_path / "nvidiactl").touch()
    (tmp_path / "nvidia-uvm").touch()
    found = Map(site or [], str(tmp_path))
    found.note(boards)
    return found


def _ask(gpumap: Map, run: str, gpus: list[int] | None, visible: str | None = None) -> list[str] | None:
    found = gpumap.resolve(run, gpus, visible, shared=False)
    return found.uuids if found.n_missing == 0 else None


def test_a_lost_board_moves_nobodys_index(tmp_path: Path) -> None:
    gpumap = _map(tmp_path, 8, [board for board in _boards(8) if board.minor != 2])

    assert _ask(gpumap, "a", [3, 4]) == ["GPU-3", "GPU-4"]
    assert _ask(gpumap, "b", [2]) is None
    assert gpumap.resolve("c", [1, 2], None, shared=False).uuids == ["GPU-1"]


def test_a_lost_board_that_comes_back_resolves(tmp_path: Path) -> None:
    boards = _boards(4)
    gpumap = _map(tmp_path, 4, boards[:2])
    assert _ask(gpumap, "a", [3]) is None

    assert gpumap.note(boards)
    assert _ask(gpumap, "a", [3]) == ["GPU-3"]
    assert not gpumap.note(boards)


def test_the_sites_list_says_the_order_where_it_is_not_the_numbers(tmp_path: Path) -> None:
    site = ["/dev/nvidia[2-3]", "/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap12", "/dev/nvidia1"]
    gpumap = _map(tmp_path, 4, _boards(4), site)

    assert _ask(gpumap, "a", [0, 1, 2, 4]) == ["GPU-2", "GPU-3", "GPU-0", "GPU-1"]
    assert _ask(gpumap, "b", [3]) is None
    assert _ask(gpumap, "c", [5]) is None


def test_without_device_files_and_without_a_list_nothing_is_guessed(tmp_path: Path) -> None:
    gpumap = Map([], str(tmp_path / "absent"))
    gpumap.note(_boards(2))

    assert _ask(gpumap, "a", [0]) is None
    assert _ask(gpumap, "b", []) == []


def test_uuids_of_the_prolog_go_before_every_index(tmp_path: Path) -> None:
    whole, part = "GPU-aaaaaaaa-1111", "MIG-bbbbbbbb-2222"
    boards = [
        INFO._replace(uuid=whole, minor=0),
        INFO._replace(uuid=part, minor=1, mig="1g.10gb"),
        INFO._replace(uuid="MIG-cccccccc-3333", minor=1, mig="1g.10gb"),
    ]
    gpumap = _map(tmp_path, 2, boards)

    assert _ask(gpumap, "a", [7], part) == [part]
    assert _ask(gpumap, "b", [0], "GPU-aaaaaaaa") == [whole]
    assert _ask(gpumap, "c", [0], "MIG-dddddddd-4444") is None
    assert _ask(gpumap, "d", [0], "0") is None  # instances count too: a position says nothing here
    assert gpumap.state("a", part) == "by-uuid"
    assert gpumap.is_foreign(["a"], whole)
    assert not gpumap.is_foreign(["d"], whole)


def test_where_file_and_bus_order_disagree_two_runs_decide(tmp_path: Path) -> None:
    gpumap = _map(tmp_path, 4, _boards(4, bus=[1, 0, 2, 3]))
    assert _ask(gpumap, "both", [2]) == ["GPU-2"]
    assert (_ask(gpumap, "a", [0]), _ask(gpumap, "b", [1])) == (None, None)

    gpumap.learn([("a", "GPU-1")])
    gpumap.learn([("a", "GPU-1")])
    assert _ask(gpumap, "a", [0]) is None
    gpumap.learn([("b", "GPU-0")])
    assert gpumap.learn([("b", "GPU-0")])

    assert (_ask(gpumap, "a", [0]), _ask(gpumap, "b", [1])) == (["GPU-1"], ["GPU-0"])
    assert not gpumap.contradicted


def test_a_hole_where_the_orders_disagree_leaves_every_index_open(tmp_path: Path) -> None:
    boards = _boards(4, bus=[1, 0, 2, 3])

    gpumap = _map(tmp_path, 4, [board for board in boards if board.minor != 3])

    assert [_ask(gpumap, str(i), [i]) for i in range(4)] == [None] * 4


def test_a_process_at_home_confirms_and_a_larger_run_confirms_no_single_index(tmp_path: Path) -> None:
    gpumap = _map(tmp_path, 4, _boards(4))
    for run, gpus in (("pair", [0, 1]), ("one", [0]), ("two", [1])):
        _ask(gpumap, run, gpus)
    gpumap.learn([("pair", "GPU-0"), ("pair", "GPU-1")])

    assert gpumap.state("pair", "GPU-0") == "confirmed"
    assert gpumap.state("one", "GPU-0") == "unconfirmed"
    assert not gpumap.is_foreign(["one"], "GPU-1")  # 0 and 1 may be swapped: nobody is accused yet
    gpumap.learn([("two", "GPU-1")])
    assert gpumap.is_foreign(["one"], "GPU-1")
    assert gpumap.state("two", "GPU-1") == "confirmed"


def test_a_run_on_more_boards_than_it_holds_is_on_anothers_under_any_map(tmp_path: Path) -> None:
    gpumap = _map(tmp_path, 4, _boards(4))
    _ask(gpumap, "one", [0])
    gpumap.learn([("one", "GPU-0")])
    assert not gpumap.is_foreign(["one"], "GPU-3")

    gpumap.learn([("one", "GPU-0"), ("one", "GPU-3")])

    assert gpumap.is_foreign(["one"], "GPU-3")
    assert not gpumap.is_foreign(["one"], "GPU-0")


def test_runs_at_home_nowhere_contradict_the_map_and_one_alone_does_not(tmp_path: Path) -> None:
    gpumap = _map(tmp_path, 4, _boards(4))
    _ask(gpumap, "a", [0])
    _ask(gpumap, "b", [1])
    for _ in range(3):
        gpumap.learn([("a", "GPU-1")])
    assert not gpumap.contradicted
    for _ in range(3):
        gpumap.learn([("a", "GPU-1"), ("b", "GPU-0")])

    assert gpumap.contradicted
    assert gpumap.witnesses == ["a", "b"]
    assert (gpumap.state("a", "GPU-0"), gpumap.word([], "GPU-3")) == ("contradicted", "contradicted")
    assert not gpumap.is_foreign(["a"], "GPU-1")


def test_strays_onto_a_board_where_its_holder_lives_do_not_contradict_the_map(tmp_path: Path) -> None:
    gpumap = _map(tmp_path, 4, _boards(4))
    for run, gpus in (("victim", [3]), ("a", [0]), ("b", [1])):
        _ask(gpumap, run, gpus)
    for _ in range(3):
        gpumap.learn([("victim", "GPU-3"), ("a", "GPU-3"), ("b", "GPU-3")])

    assert not gpumap.contradicted
    assert gpumap.is_foreign(["a"], "GPU-3")
    assert gpumap.is_foreign(["b"], "GPU-3")


def test_a_contradiction_ends_when_the_boards_turn_out_to_be_others_homes(tmp_path: Path) -> None:
    gpumap = _map(tmp_path, 4, _boards(4))
    for run, gpus in (("a", [0]), ("b", [0]), ("later", [2])):
        _ask(gpumap, run, gpus)
    for _ in range(2):
        gpumap.learn([("a", "GPU-2"), ("b", "GPU-2")])
    assert gpumap.contradicted
    gpumap.forget("a")
    gpumap.forget("b")

    gpumap.learn([("later", "GPU-2")])

    assert not gpumap.contradicted


def test_a_run_that_names_no_gpus_is_never_foreign_and_one_with_none_is(tmp_path: Path) -> None:
    gpumap = _map(tmp_path, 2, _boards(2))
    _ask(gpumap, "unknown", None)
    _ask(gpumap, "none", [])

    assert not gpumap.is_foreign(["unknown"], "GPU-0")
    assert gpumap.is_foreign(["none"], "GPU-0")
    assert not gpumap.is_foreign(["never asked"], "GPU-0")


@settings(max_examples=300)
@given(
    bus=st.one_of(st.just(list(range(4))), st.permutations(range(4))),
    gres=st.permutations(range(4)),
    lost=st.sets(st.integers(0, 3), max_size=1),
    generations=st.lists(
        st.tuples(st.permutations(range(4)), st.lists(st.integers(1, 3), min_size=1, max_size=4)),
        min_size=1,
        max_size=4,
    ),
)
def test_whatever_the_true_order_nobody_on_his_own_boards_is_foreign(
    tmp_path_factory: pytest.TempPathFactory,
    bus: list[int],
    gres: list[int],
    lost: set[int],
    generations: list[tuple[list[int], list[int]]],
) -> None:
    """`gres[index]` is the minor that Slurm really gives; the map is told nothing of it."""
    boards = [board for board in _boards(4, bus) if board.minor not in lost]
    gpumap = _map(tmp_path_factory.mktemp("dev"), 4, boards)
    for n_before, (free, sizes) in enumerate(generations):
        runs: dict[str, list[int]] = {}
        for place, size in enumerate(sizes):
            mine, free = free[:size], free[size:]
            if mine:
                runs[f"{n_before}.{place}"] = mine
        home = {run: [f"GPU-{gres[i]}" for i in mine if gres[i] not in lost] for run, mine in runs.items()}
        for _ in range(2):
            for run, mine in runs.items():
                gpumap.resolve(run, mine, None, shared=False)
            gpumap.learn([(run, uuid) for run, uuids in home.items() for uuid in uuids])
            for run, uuids in home.items():
                assert not any(gpumap.is_foreign([run], uuid) for uuid in uuids)
        for run in runs:
            gpumap.forget(run)


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("/dev/nvidia3", ["/dev/nvidia3"]),
        ("/dev/nvidia[0-2,5]", [f"/dev/nvidia{n}" for n in (0, 1, 2, 5)]),
        ("/dev/nvidia[x]", ["/dev/nvidia[x]"]),
        ("/dev/nvidia[3-1]", []),
    ],
)
def test_gres_conf_ranges_are_files(text: str, files: list[str]) -> None:
    assert expand(text) == files


def test_a_range_without_end_is_bounded() -> None:
    assert len(expand("/dev/nvidia[0-999999999]")) <= 257


@pytest.mark.parametrize(
    ("path", "minor"),
    [("/dev/nvidia12", 12), ("/rig/dev/nvidia0", 0), ("/dev/nvidiactl", None), ("/dev/nvidia-uvm", None)],
)
def test_a_device_file_names_its_minor(path: str, minor: int | None) -> None:
    assert minor_of(path) == minor


def test_device_files_are_sorted_by_number(tmp_path: Path) -> None:
    for name in ("nvidia10", "nvidia2", "nvidia0", "nvidiactl", "nvidia-modeset", "null"):
        (tmp_path / name).touch()

    assert files_in(str(tmp_path)) == [0, 2, 10]


@pytest.mark.parametrize(
    ("visible", "found"),
    [("GPU-a,MIG-b", ["GPU-a", "MIG-b"]), ("0,1", None), ("", None), (None, None), ("GPU-a,1", None)],
)
def test_visible_devices_are_uuids_or_say_nothing(visible: str | None, found: list[str] | None) -> None:
    assert uuids_of(visible) == found
