"""What a night is made of, without a cluster: draws, the judge's own arithmetic, the configuration files."""

from dataclasses import replace
from pathlib import Path

import pytest

from slurm_guard.config import load_config
from slurm_guard.model import Timeline, TimelineEvent
from tests.rig.guardconf import make_config
from tests.rig.halves import Visits, find_axis_faults, read_visits
from tests.rig.judge import MAX_WIDTH_PCT
from tests.rig.layout import NODES, Rig, RigError, free_ports, make_rig
from tests.rig.scenarios import (
    OTHER_KINDS,
    SPARE,
    draw_night,
    draw_tunnel_night,
    draw_varied_night,
    load_expected,
)
from tests.rig.slurmconf import gres_conf, slurm_conf
from tests.rig.submit import list_workloads
from tests.rig.truth import read_truth


@pytest.fixture
def plan(tmp_path: Path) -> Rig:
    """A rig that is never started."""
    return make_rig(Path("/tmp/never"), "linuxproc", "rig", 1)


def test_every_drawn_job_has_a_workload_an_expectation_and_a_reason() -> None:
    expected, workloads = load_expected(), list_workloads()

    for scenario in draw_night(1):
        assert scenario.workload in workloads
        assert expected[scenario.name].reason
    nights = [draw_night(1, share) for share in (0.2, 0.4)]
    assert {scenario.name for night in nights for scenario in night} == set(expected)


def test_every_job_of_the_tunnel_night_has_a_workload_an_expectation_and_a_reason() -> None:
    expected, workloads = load_expected("tunnel"), list_workloads()

    drawn = draw_tunnel_night(1)

    assert {scenario.name for scenario in drawn} == set(expected)
    assert all(scenario.workload in workloads and expected[scenario.name].reason for scenario in drawn)
    assert [expected[scenario.name].network for scenario in drawn] == ["tunnel", "quiet"]


def test_the_varied_night_has_at_least_14_jobs_each_with_a_workload_an_expectation_and_a_reason() -> None:
    expected, workloads = load_expected("varied"), list_workloads()

    drawn = draw_varied_night(3)

    assert len(drawn) >= 14
    assert draw_varied_night(3) == drawn != draw_varied_night(4)
    assert all(scenario.workload in workloads and expected[scenario.name].reason for scenario in drawn)
    assert {"cotenant-small", "cotenant"} >= set(expected) - {scenario.name for scenario in drawn}


def test_the_wrong_gpu_is_a_board_that_slurm_was_not_told_of(plan: Rig) -> None:
    other = next(s for s in draw_varied_night(5) if s.name == "wrong-gpu")

    assert f"--gpus {SPARE}" in other.env["RIG_HOLD"]
    assert NODES[0].n_gpus <= SPARE < NODES[0].n_boards
    assert "NodeName=n1 Name=gpu Type=h100 File=/tmp/never/dev/nvidia[0-3]" in gres_conf(plan)


def test_tunnel_nights_vary_in_door_delay_share_and_the_tunnels_name() -> None:
    nights = [draw_tunnel_night(seed)[0] for seed in range(40)]

    assert draw_tunnel_night(7) == draw_tunnel_night(7)
    assert len({night.guest for night in nights}) == 40
    assert {night.env["RIG_SSH_NAME"] for night in nights} == {"", "dataloader"}
    for night in nights:
        assert night.guest is not None
        seconds = float(night.args[night.args.index("--seconds") + 1])
        assert float(night.env["RIG_TUNNEL_AFTER"]) + night.guest.work_after_s < 0.6 * seconds


def test_a_seed_draws_the_same_night_and_another_seed_another() -> None:
    assert draw_night(7) == draw_night(7)
    assert draw_night(7) != draw_night(8)


def test_shares_and_kinds_vary_over_the_nights_and_a_given_share_holds() -> None:
    nights = [draw_night(seed) for seed in range(40)]

    shares = [scenario.share for night in nights for scenario in night if scenario.share is not None]
    kinds = {s.env["RIG_HOLD"].split()[1] for night in nights for s in night if s.share is not None}

    assert min(shares) < 0.2
    assert max(shares) > 0.5
    assert all(0.1 <= share <= 0.6 for share in shares)
    assert kinds == set(OTHER_KINDS)
    assert [s.share for s in draw_night(1, 0.25) if s.share is not None] == [0.25]


def test_no_number_of_a_nights_second_process_stands_in_a_command_line() -> None:
    for scenario in draw_varied_night(3):
        assert not any(word.startswith(("--demand", "--kind", "--after")) for word in scenario.args)


def test_all_jobs_but_the_last_fit_side_by_side() -> None:
    gpus = {"honest-megatron": 2}

    needed = sum(gpus.get(scenario.name, 1) for scenario in draw_night(1)[:-1])

    assert needed == sum(node.n_gpus for node in NODES)


def test_slurm_conf_names_the_projects_own_hooks_and_typed_gpus(plan: Rig) -> None:
    text = slurm_conf(plan)

    assert "Prolog=/tmp/never/libexec/slurm-guard-prolog\n" in text
    assert "PrologFlags=Alloc\n" in text
    assert "AccountingStorageTRES=gres/gpu,gres/gpu:h100,gres/gpu:a100\n" in text
    assert "NodeName=n2 Name=gpu Type=a100 File=/tmp/never/dev/nvidia[0-3]" in gres_conf(plan)


def test_production_scale_keeps_every_default_of_the_audit(plan: Rig, tmp_path: Path) -> None:
    production = Rig(plan.root, plan.cluster, plan.ports, plan.proctrack, "production", 1, 1)

    assert make_config(production).audit == load_config(_empty(tmp_path)).audit
    assert make_config(production).node.window_s == 60.0
    assert make_config(plan).node.window_s < 60.0


def test_a_folder_too_long_for_sockets_is_refused_in_words() -> None:
    with pytest.raises(RigError, match="too long"):
        make_rig(Path("/tmp") / ("x" * 80), "linuxproc", "rig", 1)


def test_ports_are_distinct_and_below_the_ephemeral_range() -> None:
    ports = free_ports(7)

    assert len(set(ports)) == 7
    assert all(port < 32_768 for port in ports)


def test_truth_counts_the_other_kinds_of_the_runs_own_gpus_in_its_time(tmp_path: Path) -> None:
    rows = [
        '{"at":10.0,"gpu":0,"pid":5,"kind":"train","held_ms":600}',
        '{"at":10.0,"gpu":0,"pid":6,"kind":"hash","held_ms":300}',
        '{"at":10.0,"gpu":0,"pid":null,"energy_mj":1}',
        '{"at":10.0,"gpu":1,"pid":7,"kind":"hash","held_ms":900}',
        '{"at":21.0,"gpu":0,"pid":6,"kind":"hash","held_ms":300}',
    ]
    (tmp_path / "truth.jsonl").write_text("\n".join(rows) + "\n", "ascii")

    truth = read_truth(tmp_path, (0,), 5.0, 20.0)

    assert truth == (900, 300)
    assert MAX_WIDTH_PCT == 15.0  # the number that the night is promised with


TUNNEL = TimelineEvent(1018.0, 1100.0, "network", "reverse tunnel: ssh (pid 7) between …")
SECOND = TimelineEvent(1042.0, 1100.0, "process", "pid 9 (stray) /usr/bin/python3")


def _line(*events: TimelineEvent, work_from: int = 8) -> Timeline:
    """Twenty slots of 5 s; unexplained work from one of them on."""
    residual: list[int | None] = [0 if k < work_from else 2500 for k in range(20)]
    return Timeline(1000.0, 5.0, {"residual": residual}, [500.0] * 20, [1.0] * 20, list(events))


def test_both_halves_on_one_axis_are_no_fault() -> None:
    assert find_axis_faults(_line(TUNNEL, SECOND), Visits(1017.0, 1099.0, 1041.0, 60)) == []


@pytest.mark.parametrize(
    "line",
    [
        _line(SECOND),
        _line(TUNNEL),
        _line(TUNNEL, SECOND, work_from=20),
        _line(TUNNEL, SECOND, work_from=0),
        _line(replace(TUNNEL, at=1060.0), SECOND),
        _line(TUNNEL, replace(SECOND, at=1070.0)),
    ],
)
def test_a_half_that_is_missing_or_elsewhere_on_the_axis_is_a_fault(line: Timeline) -> None:
    assert find_axis_faults(line, Visits(1017.0, 1099.0, 1041.0, 60))


def test_a_guest_who_noted_nothing_was_not_there(tmp_path: Path) -> None:
    log = tmp_path / "guest.log"
    assert read_visits(log) is None
    log.write_text("10.5 0\n12.0 1\n13.0 1\n", "ascii")

    assert read_visits(log) == Visits(10.5, 13.0, 12.0, 3)


def _empty(folder: Path) -> Path:
    path = folder / "guard.toml"
    path.write_text("", "utf-8")
    return path
