"""What a node and a head node have: folders, spools, quarantine, nights, letters, timers."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_guard.config import ChatConfig, Config, LakeConfig, NodeConfig, ReportConfig
from slurm_guard.doctor import fromhead, fromnode, shut
from slurm_guard.doctor.bounded import Collector, Identity, gather
from slurm_guard.doctor.finding import Unseen
from slurm_guard.doctor.shut import Shut
from slurm_guard.document import to_json
from slurm_guard.errors import GuardError
from slurm_guard.lake.manifest import Known, write_manifest
from tests.unit.doctor import builders as b
from tests.unit.report import builders as report

AT = 1_800_000_000.0


def _config(tmp_path: Path) -> Config:
    return replace(
        Config(),
        node=NodeConfig(run_dir=str(tmp_path / "run"), spool_dir=str(tmp_path / "spool")),
        lake=LakeConfig(path=str(tmp_path / "lake"), spools=[str(tmp_path / "spool")]),
        report=ReportConfig(path=str(tmp_path / "reports")),
    )


def _file(path: Path, text: str = "", at: float = AT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))
    return path


def test_the_newest_of_a_node_is_that_of_spool_drop_and_memory(tmp_path: Path) -> None:
    _file(tmp_path / "spool/n1/sealed/a.jsonl", at=AT - 50)
    _file(tmp_path / "spool/n1/tickets/b.json", at=AT - 90)
    _file(tmp_path / "lake/drop/n2/seals/c.json", at=AT - 10)
    (tmp_path / "spool/n3").mkdir()
    manifest = tmp_path / "lake/v1/manifest/n1.0abc.json"
    manifest.parent.mkdir(parents=True)
    write_manifest(manifest, {"sealed/a": Known(1, int((AT - 5) * 1e9), "x", 1, None)})

    os.utime(manifest, (AT, AT))
    found = {one.node: one for one in fromhead.load_data(_config(tmp_path))}

    newest = {node: one.newest_at for node, one in found.items()}
    assert newest == {"n1": pytest.approx(AT - 5), "n2": pytest.approx(AT - 10), "n3": None}
    assert found["n1"].first_at == pytest.approx(AT - 90)
    assert found["n1"].collected_at == AT
    assert (found["n2"].collected_at, found["n3"].first_at) == (None, None)


def test_spools_that_are_not_there_have_no_node(tmp_path: Path) -> None:
    assert fromhead.load_data(_config(tmp_path)) == ()


@pytest.mark.root
def test_a_spool_is_seen_with_the_rights_of_whoever_collects(tmp_path: Path) -> None:
    for place in (tmp_path, *tmp_path.parents[:3]):
        place.chmod(0o755)
    for name in ("right/n1/sealed", "shut/n1/sealed", "inside/n1/sealed", "above/in/n1"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("shut", "inside/n1/sealed", "above"):
        (tmp_path / name).chmod(0o700)
    names = ("right", "shut", "inside", "above/in", "none", "right/n1/none")
    config = replace(Config(), lake=LakeConfig(spools=[str(tmp_path / name) for name in names]))
    nobody = Identity("nobody", 65534, 65534)

    found = gather([Collector("spools", lambda: fromhead.look_at_spools(config), 10.0, nobody)])["spools"]

    assert isinstance(found, tuple), found
    seen = [(one.exists, one.barred.removeprefix(f"{tmp_path}/"), one.group) for one in found]
    assert seen == [
        (True, "", ""),
        (True, "shut", "root"),
        (True, "inside/n1/sealed", "root"),
        (True, "above", "root"),
        (False, "", ""),
        (False, "", ""),
    ]


def test_quarantine_is_counted_with_the_newest_reason(tmp_path: Path) -> None:
    _file(tmp_path / "lake/quarantine/n1/sealed/a.jsonl.reason", "torn: no end\n", AT - 20 * 86_400)
    newest = _file(tmp_path / "lake/quarantine/n1/tickets/b.json.reason", "digest: wrong\n", AT - 60)

    found = fromhead.load_quarantine(_config(tmp_path), AT)

    assert (found.n, found.n_recent, found.newest, found.reason) == (2, 1, str(newest), "digest: wrong")


def _ticket(tmp_path: Path, job_id: int, at: float, told: float | None) -> None:
    body = {"k": "ticket", "at": at, "job_id": job_id, "slurm_start_at": told}
    _file(tmp_path / f"spool/n1/tickets/{job_id}.json", json.dumps(body), AT - 60)


def test_a_clock_is_judged_by_the_ticket_that_is_nearest_to_its_start(tmp_path: Path) -> None:
    _ticket(tmp_path, 1, AT + 100, AT + 60)
    _ticket(tmp_path, 2, AT + 70.5, AT + 60)
    _ticket(tmp_path, 3, AT + 30, None)
    _file(tmp_path / "spool/n1/tickets/torn.json", '{"at":', AT)

    (skew,) = fromhead.load_skews(_config(tmp_path), {3: (AT + 90, AT - 5000)}, AT)

    assert (skew.node, skew.least_s, skew.n) == ("n1", 10.5, 3)


def test_tickets_of_other_days_say_nothing(tmp_path: Path) -> None:
    _ticket(tmp_path, 1, AT, AT)

    assert fromhead.load_skews(_config(tmp_path), {}, AT + 3 * 86_400) == ()


def test_the_latest_night_is_read(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    assert fromhead.load_night(_config(tmp_path)) is None
    audit = report.night()
    for day in ("2026-09-21", "2026-09-22"):
        _file(tmp_path / f"reports/{day}/audit.json", to_json(audit))

    night = fromhead.load_night(_config(tmp_path))

    assert night is not None
    assert (night.name, night.until_at, night.n_runs) == ("2026-09-22", audit.until_at, len(audit.judgements))


def test_a_damaged_night_is_not_taken_for_none(tmp_path: Path) -> None:
    _file(tmp_path / "reports/2026-09-22/audit.json", "{")

    with pytest.raises(GuardError, match="document-syntax"):
        fromhead.load_night(_config(tmp_path))


def test_reports_that_are_not_there_are_not_taken_for_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fromhead.load_night(_config(tmp_path))


def test_letters_that_nobody_got_are_stuck_and_waiting_ones_after_a_day(tmp_path: Path) -> None:
    now_at = 1e10  # folders were touched lately by any clock
    state = {
        "to": "x@example.org", "sender": "s", "kind": "digest", "message_id": "m", "subject": "s", "day": "d",
        "alert": False, "note": "", "at": 0.0,
    }  # fmt: skip
    rows = [("a", "sent", 0.0), ("b", "waiting", now_at), ("c", "deferred", 0.0), ("d", "unclear", now_at)]
    for name, status, queued_at in rows:
        _file(
            tmp_path / f"reports/outbox/n/{name}.json",
            json.dumps({**state, "status": status, "queued_at": queued_at}),
        )
    os.utime(tmp_path / "reports/outbox/n")

    found = fromhead.load_letters(_config(tmp_path), now_at)

    assert {one.name: one.status for one in found} == {"n/c": "deferred", "n/d": "unclear"}


def test_a_chats_urls_are_looked_at_as_secrets(tmp_path: Path) -> None:
    urls = _file(tmp_path / "chat.urls", "json://host/hook\n")
    config = replace(Config(), chat=ChatConfig(urls_file=str(urls)))

    urls.chmod(0o644)
    open_ = fromhead.look_at_chat(config)
    urls.chmod(0o600)
    private = fromhead.look_at_chat(config)

    assert open_.error.startswith("secret-unsafe: ")
    assert private.error in ("", "apprise is not installed")
    assert fromhead.look_at_chat(Config()).error == ""


def test_a_folder_is_described_with_its_room(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)

    found = fromnode.look_at_folder(str(tmp_path))

    assert (found.exists, found.is_dir, found.mode, found.uid) == (True, True, 0o750, os.getuid())
    assert found.free_b > 0
    assert not fromnode.look_at_folder(str(tmp_path / "none")).exists


def test_switches_are_those_of_hooks_and_sampler(tmp_path: Path) -> None:
    one, two = _file(tmp_path / "a"), _file(tmp_path / "b")
    config = replace(Config(), node=NodeConfig(disabled=str(tmp_path / "none"), disabled_everywhere=str(one)))

    found = fromnode.find_switches(config, b.settings(DISABLED=f"{tmp_path}/x:{two}"))

    assert [(switch.path, switch.since_at) for switch in found] == [(str(one), AT), (str(two), AT)]


def test_a_sampler_without_a_process_is_silent(tmp_path: Path) -> None:
    status = {"version": "0.1.0", "stopped": {"at": AT, "reason": "SIGTERM"}, "tables": {"ends_heard": False}}
    _file(tmp_path / "run/n1/status.json", json.dumps(status))

    (found,) = fromnode.load_samplers(_config(tmp_path))

    assert (found.node, found.release) == ("n1", "0.1.0")
    assert "SIGTERM" in str(found.silence)
    assert found.cuts == ("connections that come and go between two looks",)
    assert fromnode.find_nodes(_config(tmp_path), "h") == ("n1",)
    assert fromnode.find_nodes(Config(node=NodeConfig(run_dir=str(tmp_path / "none"))), "h") == ("h",)


def test_the_parser_may_not_be_root_or_nobody_at_all() -> None:
    assert fromnode._parser("root") == "it has root's rights"
    assert fromnode._parser("no-such-user-here") == "this machine does not know it"
    assert fromnode.look_at_control(Config()).parser_user == ""


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('{"status": "applied"}', None),
        ('{"status": "applying"}', "applying"),
        ('{"status": "undoing"}', "undoing"),
        ("{", "unreadable"),
        ("[]", "unreadable"),
    ],
)
def test_a_journal_tells_how_far_an_installation_came(text: str, status: str | None, tmp_path: Path) -> None:
    assert fromnode.find_leftovers(tmp_path / "none") == fromnode.find_leftovers(tmp_path) == ()
    journal = _file(tmp_path / "journal.json", text)

    found = fromnode.find_leftovers(tmp_path)

    assert [(left.path, left.status) for left in found] == [(str(journal), status)] * (status is not None)


def test_packages_and_a_guard_toml_are_no_trace_of_an_installation(tmp_path: Path) -> None:
    config, settings = _config(tmp_path), tmp_path / "etc/slurm-guard/slurm-guard-hooks.conf"
    _file(tmp_path / "etc/slurm-guard/guard.toml")
    assert fromnode.find_traces(config, settings, tmp_path / "journal") == ()

    _file(settings)
    (tmp_path / "lake").mkdir()

    assert fromnode.find_traces(config, settings, tmp_path / "journal") == (
        str(settings),
        str(tmp_path / "lake"),
    )


def test_a_folder_of_the_journal_without_one_is_a_beginning(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()

    assert [left.status for left in fromnode.find_leftovers(tmp_path)] == ["begun"]


def test_who_audits_is_the_lakes_owner(tmp_path: Path) -> None:
    config = _config(tmp_path)
    assert fromhead.find_auditor(config).uid == os.geteuid()

    (tmp_path / "lake").mkdir()

    assert fromhead.find_auditor(config).uid == os.getuid()


def _shut_as(config: Config, uid: int) -> object:
    who = Identity("other", uid, uid)
    return gather([Collector("shut", lambda: fromhead.look_at_files(config), 10.0, who)])["shut"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_files_that_root_left_are_counted_as_who_audits_sees_them(tmp_path: Path) -> None:
    for place in (tmp_path, *tmp_path.parents[:3]):
        place.chmod(0o755)
    config = _config(tmp_path)
    for name in ("lake/v1/gpus/a.parquet", "lake/v1/gpus/b.parquet", "reports/2026-11-01/audit.json"):
        _file(tmp_path / name)
    for path in [tmp_path / "lake", *tmp_path.glob("lake/**/*"), tmp_path / "reports"]:
        os.chown(path, 65534, 65534)
    assert _shut_as(config, 65534) == {"lake": Shut(), "reports": Shut()}

    bad = tmp_path / "lake/v1/gpus/b.parquet"
    bad.chmod(0o640)
    os.chown(bad, 0, 0)
    (tmp_path / "reports/2026-11-01").chmod(0o700)

    assert _shut_as(config, 65534) == {
        "lake": Shut(1, str(bad)),
        "reports": Shut(1, str(tmp_path / "reports/2026-11-01")),
    }
    assert isinstance(_shut_as(config, 65533), Unseen)


def test_of_many_files_a_bounded_number_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        _file(tmp_path / "lake" / name)
    monkeypatch.setattr(shut, "_MOST", 2)
    monkeypatch.setattr(os, "access", lambda *_: False)

    found = fromhead.look_at_files(_config(tmp_path))["lake"]

    assert found == Shut(2, str(tmp_path / "lake/c"), all_seen=False)
