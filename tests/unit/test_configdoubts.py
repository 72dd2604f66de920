"""What is right in a configuration and perhaps not meant."""

import os
import pwd
from datetime import timezone
from zoneinfo import ZoneInfo

import pytest

from slurm_guard.config import AuditConfig, Config, LakeConfig
from slurm_guard.configdoubts import doubts, uids_of
from slurm_guard.configjobs import doubtful_jobs, parse_jobs
from slurm_guard.configmaintenance import MaintenanceConfig, instant

NOW = 1_790_000_000.0  # 2026-09-21T14:13:20Z


def _window(since: str, until: str) -> MaintenanceConfig:
    return MaintenanceConfig("n[1-4]", since, until, "firmware")


def _doubts(*windows: MaintenanceConfig, audit: AuditConfig | None = None) -> list[str]:
    config = Config(maintenance=list(windows), audit=audit or AuditConfig())
    return doubts(config, timezone.utc, NOW)


def test_a_window_of_today_or_to_come_raises_no_doubt() -> None:
    assert _doubts(_window("2026-09-21", "2026-09-22"), _window("2026-10-21", "2026-10-22")) == []
    assert _doubts(_window("2026-08-20", "2026-08-22")) == []  # a month ago: its nights may be audited again


def test_a_window_that_ended_long_ago_or_lasts_for_months_is_named() -> None:
    old, long = _doubts(_window("2026-06-20", "2026-06-23"), _window("2026-09-01", "2027-09-01"))

    assert old == "maintenance of n[1-4] (2026-06-20 to 2026-06-23): it ended 91 days ago"
    assert "it lasts 365 days" in long


def test_times_are_of_the_sites_zone_unless_they_name_one() -> None:
    berlin = ZoneInfo("Europe/Berlin")

    assert instant("2026-09-22T08:00", berlin) == instant("2026-09-22T06:00Z", berlin)
    assert instant("2026-09-22T08:00", timezone.utc) == instant("2026-09-22T10:00+02:00", berlin)


def test_without_a_zone_no_window_is_doubted() -> None:
    config = Config(maintenance=[_window("2020-01-01", "2020-01-02")])

    assert doubts(config, None, NOW) == []


def test_administrators_that_nobody_knows_are_named() -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name

    (said,) = _doubts(audit=AuditConfig(maintenance_admins=[me, "4711", "no-such-user"]))

    assert "'no-such-user'" in said
    assert uids_of([me, "4711", "no-such-user"]) == (frozenset({os.geteuid(), 4711}), ("no-such-user",))


@pytest.mark.parametrize("entry", ["partition=burnin", "qos=stress partition=a,b"])
def test_what_anybody_may_submit_to_is_doubted_as_burn_in(entry: str) -> None:
    ((named, why),) = doubtful_jobs([entry])

    assert named == entry
    assert "taken at his word" in why
    assert doubtful_jobs(["account=acceptance", f"user=ann {entry}"]) == []
    assert "lower case" in _doubts(audit=AuditConfig(burn_in=["account=Acc"]))[0]


def test_all_keys_of_an_entry_must_fit() -> None:
    rule = parse_jobs("user=ann,bob  partition=burnin")

    assert rule.is_for(user="bob", account="x", partition="burnin", qos="")
    assert not rule.is_for(user="bob", account="x", partition="gpu", qos="")
    assert not rule.is_for(user="eve", account="x", partition="burnin", qos="")


@pytest.mark.parametrize(
    ("endpoint", "n"),
    [
        ("http://s3.example.org:9000", 1),
        ("https://s3.example.org", 0),
        ("http://127.0.0.1:9000", 0),
        ("http://[::1]:9000", 0),
        ("", 0),
    ],
)
def test_a_store_that_is_asked_in_the_clear_is_named(endpoint: str, n: int) -> None:
    found = doubts(Config(lake=LakeConfig(store_endpoint=endpoint)), timezone.utc, NOW)

    assert [("lake.store_endpoint" in one) for one in found] == [True] * n
