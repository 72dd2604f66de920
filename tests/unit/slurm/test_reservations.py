"""Reservations with the flag MAINT, as sacctmgr of 22.05 prints them on the rig."""

from pathlib import Path

import pytest

from slurm_guard.slurm.reservations import FIELDS, load_maintenance, parse_maintenance
from slurm_guard.slurm.sacct import Sacct

# Recorded, the clusters and the list of nodes by hand.
TEXT = """\
rig|1795751346|1795758546|SPEC_NODES|n2|mt2
rig|1795751405|1795755005|MAINT,IGNORE_JOBS,SPEC_NODES|n[1,3-4]|mt1
other|1795751405|1795755005|MAINT|n1|elsewhere
"""
NIGHT = (1795750000.0, 1795760000.0)


def test_those_with_the_flag_are_windows_of_the_cluster() -> None:
    (window,), skips = parse_maintenance(TEXT, "rig", NIGHT)

    assert (window.nodes, window.n_nodes, window.source) == ("n[1,3-4]", 3, "slurm")
    assert (window.from_at, window.until_at) == (1795751405.0, 1795755005.0)
    assert window.reason == "reservation mt1"
    assert skips == []


def test_they_are_clipped_to_the_night_and_those_beside_it_are_none() -> None:
    (window,), _ = parse_maintenance(TEXT, "rig", (1795752000.0, 1795753000.0))

    assert (window.from_at, window.until_at) == (1795752000.0, 1795753000.0)
    assert parse_maintenance(TEXT, "rig", (1795755005.0, 1795760000.0)) == ((), [])


def test_one_without_an_end_lasts() -> None:
    (window,), _ = parse_maintenance("rig|1795751405|Unknown|MAINT|n1|a|b\n", "rig", NIGHT)

    assert (window.until_at, window.reason) == (NIGHT[1], "reservation a|b")


@pytest.mark.parametrize(
    "line",
    ["", "rig|1|2", "rig|1795751405|1795755005|MAINTENANCE|n1|x", "rig|1795751405|1795755005|MAINT||x"],
)
def test_what_is_none_is_passed_over(line: str) -> None:
    assert parse_maintenance(f"{line}\n", "rig", NIGHT) == ((), [])


@pytest.mark.parametrize(("start", "nodes"), [("2026-11-27T03:50:05", "n1"), ("1795751405", "n[1-")])
def test_one_that_cannot_be_read_is_a_skip_and_no_window(start: str, nodes: str) -> None:
    found, (skip,) = parse_maintenance(f"rig|{start}|1795755005|MAINT|{nodes}|mt1\n", "rig", NIGHT)

    assert found == ()
    assert (skip.subject, skip.reason) == ("reservation mt1", "reservations-unread")


def _sacctmgr(folder: Path, body: str) -> Sacct:
    program = folder / "sacctmgr"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return Sacct(str(folder / "sacct"), 10.0, "rig")


def test_sacctmgr_beside_sacct_is_asked_in_utc_for_the_cluster(tmp_path: Path) -> None:
    sacct = _sacctmgr(tmp_path, f'echo "$TZ $SLURM_TIME_FORMAT $*" > {tmp_path}/said; cat <<E\n{TEXT}E')

    found, skips = load_maintenance(sacct, "rig", NIGHT)

    assert [w.reason for w in found] == ["reservation mt1"]
    assert skips == []
    assert (tmp_path / "said").read_text() == (
        "UTC %s -n -P show reservation clusters=rig start=2026-11-27T03:26:40 end=2026-11-27T06:13:20 "
        f"format={','.join(FIELDS)}\n"
    )


def test_where_nobody_can_tell_there_is_a_skip_and_the_night_goes_on(tmp_path: Path) -> None:
    missing, (skip,) = load_maintenance(Sacct(str(tmp_path / "sacct")), "rig", NIGHT)
    failed, (other,) = load_maintenance(_sacctmgr(tmp_path, "echo no >&2; exit 1"), "rig", NIGHT)

    assert missing == failed == ()
    assert {skip.reason, other.reason} == {"reservations-unread"}
    assert "ended with 1: no" in other.detail


def test_no_reservation_is_no_skip(tmp_path: Path) -> None:
    assert load_maintenance(_sacctmgr(tmp_path, "exit 0"), "rig", NIGHT) == ((), [])
