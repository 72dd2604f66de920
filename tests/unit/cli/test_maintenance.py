"""What an audit is told of maintenance: the site's windows in its zone, Slurm's, and administrators' uids."""

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from slurm_guard.cli.maintenance import load_upkeep
from slurm_guard.config import AuditConfig, Config, ReportConfig, SlurmConfig
from slurm_guard.configmaintenance import MaintenanceConfig

DAY = datetime(2026, 9, 22, tzinfo=timezone.utc).timestamp()
NIGHT = (DAY, DAY + 86_400.0)
ONE = MaintenanceConfig("gpu[01-04]", "2026-09-22T08:00", "2026-09-22T12:00", "firmware")
FILE = Path("/nowhere/sacct.txt")


def test_windows_are_read_in_the_sites_zone_and_clipped() -> None:
    config = Config(
        report=ReportConfig(timezone="Europe/Berlin"),
        maintenance=[
            ONE,
            replace(ONE, since="2026-09-20", until="2026-09-22T04:00"),
            replace(ONE, until="2026-09-21", since="2026-09-20"),
        ],
    )

    upkeep = load_upkeep(config, "c", NIGHT, FILE)

    assert [(w.from_at - DAY, w.until_at - DAY) for w in upkeep.windows] == [(21_600, 36_000), (0, 7200)]
    assert (upkeep.windows[0].n_nodes, upkeep.windows[0].source) == (4, "guard.toml")
    assert upkeep.skips == ()


def test_slurm_is_asked_beside_the_configuration_and_not_with_a_file_or_when_told_not_to(
    tmp_path: Path,
) -> None:
    program = tmp_path / "sacctmgr"
    program.write_text(f"#!/bin/sh\necho 'c|{DAY:.0f}|{DAY + 60:.0f}|MAINT|n1|up'\n")
    program.chmod(0o755)
    slurm = SlurmConfig(sacct=str(tmp_path / "sacct"))
    config = Config(slurm=slurm, maintenance=[ONE])

    asked = load_upkeep(config, "c", NIGHT, None)

    assert [w.source for w in asked.windows] == ["guard.toml", "slurm"]
    assert len(load_upkeep(config, "c", NIGHT, FILE).windows) == 1
    silent = replace(config, slurm=replace(slurm, maint_reservations=False))
    assert len(load_upkeep(silent, "c", NIGHT, None).windows) == 1


def test_an_administrator_whom_nobody_knows_is_said() -> None:
    config = Config(audit=AuditConfig(maintenance_admins=["root", "1042", "no-such-user"]))

    upkeep = load_upkeep(config, "c", NIGHT, FILE)

    assert upkeep.admin_uids == {0, 1042}
    assert [s.reason for s in upkeep.skips] == ["maintenance-admin-unknown"]
