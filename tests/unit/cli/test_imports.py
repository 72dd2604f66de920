"""`slurm-guard import prometheus`: holes and refusals are said, and nothing wrong is published."""

import base64
import gzip
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slurm_guard.cli.audit import audit
from slurm_guard.cli.imports import access_of, prometheus
from slurm_guard.cli.reopened import open_nights
from slurm_guard.config import Config, PrometheusConfig, load_config
from slurm_guard.document import from_json
from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, GuardError
from slurm_guard.lake import imports
from slurm_guard.lake import write as lake_write
from slurm_guard.lake.arrived import Stopped
from slurm_guard.lake.schema import TABLES
from slurm_guard.model import Account, Audit, Verdict
from slurm_guard.prometheus import client
from slurm_guard.report.own import only_uid
from slurm_guard.report.owner import Desk, build_view, told_runs
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.sentences import reason, remedy
from slurm_guard.report.text import Style, render_text
from slurm_guard.slurm.rows import format_rows, parse_rows
from slurm_guard.sums import is_unmatched
from tests import monitors
from tests.monitors import AT, HOUR
from tests.unit.prometheus.talker import Reply, talking

SINCE, UNTIL = str(AT), str(AT + 2 * HOUR)
TEXT = monitors.openmetrics()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(client, "MOST_WAIT_S", 0.002)


def fine(query: str, at: float) -> Reply:
    return 200, {}, monitors.answer(TEXT, query, at)


def take(folder: Path, answer: Callable[[str, float], Reply] = fine) -> None:
    (folder / "sacct.txt").write_text(monitors.sacct_text())
    with talking(answer) as server:
        prometheus(server.url, SINCE, UNTIL, None, folder / "sacct.txt", folder / "lake", None)


def judged(folder: Path, name: str = "audit.json") -> Audit:
    audit(SINCE, UNTIL, folder / "sacct.txt", folder / "lake", folder / name, False, None)
    return from_json((folder / name).read_text())


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.parquet"))}


def test_a_night_comes_in_and_is_audited_without_accusing_anybody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take(tmp_path)
    done = judged(tmp_path)

    by_job = {j.run.job_id: j for j in done.judgements}
    assert {n: j.verdict for n, j in by_job.items()} == {
        11: Verdict.NOT_AUDITABLE,
        12: Verdict.NOTE,
        13: Verdict.NOT_AUDITABLE,
        14: Verdict.NOT_AUDITABLE,
    }
    assert by_job[12].classes == ("parked",)
    assert by_job[11].classes == by_job[13].classes == ("log-unread",)
    assert by_job[11].coverage_pct > 98
    assert by_job[14].ledger_gpu_ms[Account.UNOBSERVED.value] == by_job[14].run.allocated_gpu_ms
    assert not any(j.asks for j in done.judgements)
    assert {f.check for j in done.judgements for f in j.findings} == {
        "no-progress-source",
        "parked-allocation",
    }
    assert all(n.note == "read by Prometheus, dcgm-exporter, a reading every 30 s" for n in done.nodes)
    assert "cannot show which processes worked" in " ".join(by_job[11].notes)
    assert "GPU-h of which nothing says whose the GPU was: not observed" in capsys.readouterr().out


def test_of_a_run_whose_logs_nobody_read_nothing_says_that_it_has_none(tmp_path: Path) -> None:
    take(tmp_path)
    done = judged(tmp_path)
    run = next(j for j in done.judgements if j.run.job_id == 11)

    page = build_page(done, Options())
    shown = " ".join(render_text(page, Style()).split())
    unread = "another monitor read its GPUs, and nobody its logs"
    assert is_unmatched(run)
    assert (reason(run), "sampler reads what a job logs" in remedy(run)) == (unread, True)
    assert "Of GPUs that another monitor read no process is known" in page.method
    assert "Of GPUs that another monitor read" in build_page(only_uid(done, 1000), Options()).method
    assert "Log a line" not in shown
    assert "of GPU work, and nobody read its logs: the work can be neither explained nor denied" in shown

    desk = Desk("site", timezone.utc, {"no-progress-source", "parked"}, None)
    assert [j.run.job_id for told in told_runs(done, desk).values() for j in told] == [12]
    every = build_view(done, [run], replace(desk, told={"NOT AUDITABLE"})).runs[0]
    assert len(every.seen) == 1
    assert "does not read what a job logs" in every.seen[0]
    assert "the centre looks after" in every.helps[0]


def test_twice_is_once_and_the_document_is_the_same(tmp_path: Path) -> None:
    take(tmp_path)
    before = files(tmp_path)
    judged(tmp_path, "a.json")
    take(tmp_path)
    judged(tmp_path, "b.json")

    assert files(tmp_path) == before
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_hole_is_unobserved_and_not_idle(tmp_path: Path) -> None:
    holed = monitors.openmetrics(hole=(AT + 600, AT + 1800))
    take(tmp_path, lambda query, at: (200, {}, monitors.answer(holed, query, at)))
    hole = next(j for j in judged(tmp_path).judgements if j.run.job_id == 11)
    (tmp_path / "whole").mkdir()
    take(tmp_path / "whole")
    whole = next(j for j in judged(tmp_path / "whole").judgements if j.run.job_id == 11)

    grown = {
        a.value: hole.ledger_gpu_ms[a.value] - whole.ledger_gpu_ms[a.value]
        for a in (Account.UNOBSERVED, Account.IDLE)
    }
    assert 4 * 1_200_000 <= grown["unobserved"] <= 4 * 1_260_000
    assert grown["idle"] <= 0


def test_429_now_and_then_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[int] = []

    def busy(query: str, at: float) -> Reply:
        told.append(1)
        return (429, {"Retry-After": "1"}, b"") if len(told) % 3 == 0 else fine(query, at)

    take(tmp_path, busy)
    (tmp_path / "whole").mkdir()
    take(tmp_path / "whole")

    assert {k: v for k, v in files(tmp_path).items() if "whole" not in k} == files(tmp_path / "whole")
    assert "answers asked for again" in capsys.readouterr().out


@pytest.mark.parametrize(
    "reply",
    [
        (429, {"Retry-After": "1"}, b""),
        (200, {}, b'{"status":"succ'),
        (500, {}, b"x"),
        (422, {}, b"{}"),
        (404, {}, b""),
    ],
)
def test_an_hour_that_does_not_come_whole_is_not_taken_at_all(
    tmp_path: Path, reply: Reply, capsys: pytest.CaptureFixture[str]
) -> None:
    def half(query: str, at: float) -> Reply:
        late = at > AT + HOUR + 1 and query.startswith("DCGM_FI_DEV_FB_USED")
        return reply if late else fine(query, at)

    with pytest.raises(GuardError) as caught:
        take(tmp_path, half)

    assert caught.value.slug == "prometheus-incomplete"
    assert "1 of 2 hours" in caught.value.sentence
    assert "2026-05-28 22:00 UTC: nothing taken" in capsys.readouterr().out
    rows = pl.concat([pl.read_parquet(p) for p in (tmp_path / "lake").rglob("windows/*/*.parquet")])
    assert rows["end_at"].max() == AT + HOUR - 30
    late = {j.run.job_id: j for j in judged(tmp_path).judgements}[13]
    assert late.ledger_gpu_ms["unobserved"] == late.run.allocated_gpu_ms
    take(tmp_path)
    (tmp_path / "whole").mkdir()
    take(tmp_path / "whole")
    assert {k: v for k, v in files(tmp_path).items() if "whole" not in k} == files(tmp_path / "whole")


def test_a_server_that_is_down_is_not_asked_for_every_hour(tmp_path: Path) -> None:
    asked: list[float] = []

    def down(query: str, at: float) -> Reply:
        asked.append(at)
        return 503, {}, b""

    (tmp_path / "sacct.txt").write_text(monitors.sacct_text())
    with talking(down) as server, pytest.raises(GuardError):
        prometheus(
            server.url, str(AT - 48 * HOUR), UNTIL, None, tmp_path / "sacct.txt", tmp_path / "lake", None
        )

    assert len(set(asked)) <= 3
    assert not (tmp_path / "lake").exists()


def test_too_much_is_asked_for_in_halves(tmp_path: Path) -> None:
    def small(query: str, at: float) -> Reply:
        return (422, {}, b"{}") if int(query.partition("[")[2][:-2]) > 1000 else fine(query, at)

    take(tmp_path, small)
    (tmp_path / "whole").mkdir()
    take(tmp_path / "whole")

    assert {k: v for k, v in files(tmp_path).items() if "whole" not in k} == files(tmp_path / "whole")


def test_a_server_without_gpus_is_said(tmp_path: Path) -> None:
    empty = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}}).encode()

    with pytest.raises(GuardError) as caught:
        take(tmp_path, lambda query, at: (200, {}, empty))

    assert (caught.value.slug, caught.value.exit_code) == ("prometheus-nothing", EXIT_NOTHING_TO_AUDIT)


def test_label_matchers_go_into_each_query(tmp_path: Path) -> None:
    (tmp_path / "sacct.txt").write_text(monitors.sacct_text())
    with talking(fine) as server, pytest.raises(GuardError):
        prometheus(server.url, SINCE, UNTIL, 'cluster="a"', tmp_path / "sacct.txt", tmp_path / "lake", None)

    assert all('{cluster="a"}[3900s]' in query for query, _ in server.asked)


def test_the_secret_s_file_is_private_and_goes_into_the_header(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)

    bearer = access_of("http://127.0.0.1:1", PrometheusConfig(token_file=str(secret)))
    basic = access_of("http://127.0.0.1:1", PrometheusConfig(user="ann", password_file=str(secret)))
    secret.chmod(0o644)
    with pytest.raises(GuardError) as caught:
        access_of("http://127.0.0.1:1", PrometheusConfig(token_file=str(secret)))

    assert (bearer.auth, basic.auth) == ("Bearer s3cret", "Basic YW5uOnMzY3JldA==")
    assert caught.value.slug == "secret-unsafe"


@pytest.mark.parametrize("text", ["", "\n", "a b\x00", "é\n", "a\x1b[0m\n"])
def test_an_odd_secret_is_refused(tmp_path: Path, text: str) -> None:
    secret = tmp_path / "token"
    secret.write_text(text)
    secret.chmod(0o600)

    with pytest.raises(GuardError) as caught:
        access_of("http://127.0.0.1:1", PrometheusConfig(token_file=str(secret)))

    assert caught.value.slug in ("secret-odd", "secret-unsafe")


def test_a_month_too_many_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GuardError) as caught:
        prometheus("http://127.0.0.1:1", str(AT), str(AT + 3000 * HOUR), None, None, tmp_path, None)

    assert caught.value.slug == "import-long"


def _own_ticket(folder: Path, **row: Any) -> None:
    """One of a node of our own that night."""
    base = {"cluster": "c", "node": "n9", "run": f"c/99/n9/0123abcd/{int(AT * 1000)}", "at": AT, "job_id": 99}
    home = folder / "lake" / "v1" / "tickets" / "date=2026-05-28"
    home.mkdir(parents=True)
    pl.DataFrame([{**base, **row}], schema=TABLES["tickets"]).write_parquet(home / "a.parquet")


def test_where_hooks_are_a_node_without_them_is_still_told(tmp_path: Path) -> None:
    take(tmp_path)
    _own_ticket(tmp_path)

    by_job = {j.run.job_id: j for j in judged(tmp_path).judgements}

    assert all("hook-silent" in {f.check for f in j.findings} for j in by_job.values())
    assert not any("unsealed" in j.classes for j in by_job.values())


def test_no_owner_is_told_that_nothing_was_recorded_where_another_monitor_read_his_gpus(
    tmp_path: Path,
) -> None:
    take(tmp_path)
    _own_ticket(tmp_path)
    done = judged(tmp_path)

    desk = Desk("site", timezone.utc, {"NOTE", "NOT AUDITABLE", "silent"}, None)
    (own,) = told_runs(done, desk).values()
    said = [" ".join(run.seen) for run in build_view(done, own, desk).runs]

    assert len(said) == 4
    assert not any("Nothing was recorded" in seen or "not observed" in seen for seen in said)
    assert not any("sent nothing at all" in j.sentence for j in done.judgements)
    reasons = {j.run.job_id: reason(j) for j in done.judgements if j.run.job_id != 12}
    unread = "another monitor read its GPUs, and nobody its logs"
    assert reasons == {11: unread, 13: unread, 14: "nothing was observed"}


@pytest.mark.parametrize(("streams", "cls"), [(0, "log-unread"), (1, "no-progress-source")])
def test_a_ticket_alone_reads_no_log_and_a_sampler_that_lost_the_gpus_does(
    streams: int, cls: str, tmp_path: Path
) -> None:
    take(tmp_path)
    key = f"c/11/n1/0123abcd/{int(AT * 1000)}"
    _own_ticket(tmp_path, node="n1", run=key, job_id=11)
    row = {"cluster": "c", "node": "n1", "run": key, "opened_at": AT, "closed_at": AT + 60, "seq": 0, "n": 9}
    home = tmp_path / "lake" / "v1" / "segments" / "date=2026-05-28"
    home.mkdir(parents=True)
    segments = pl.DataFrame([row] * streams, schema=TABLES["segments"])
    segments.write_parquet(home / "a.parquet")

    (one,) = [j for j in judged(tmp_path).judgements if j.run.job_id == 11]

    assert set(one.classes) == {cls, "unsealed"}
    assert ("nobody read its logs" in one.sentence) == (streams == 0)


def test_a_summary_of_jobstats_is_a_note_and_changes_no_verdict(tmp_path: Path) -> None:
    take(tmp_path)
    plain = judged(tmp_path, "a.json")
    body = b'{"nodes":{"n1":{"gpu_utilization":{"0":93.0}}}}'
    text = "JS1:" + base64.b64encode(gzip.compress(body, mtime=0)).decode()
    rows, _ = parse_rows(monitors.sacct_text())
    rows[0]["AdminComment"] = text
    (tmp_path / "sacct.txt").write_text(format_rows(rows))

    told = judged(tmp_path, "b.json")

    (extra,) = set(told.judgements[0].notes) - set(plain.judgements[0].notes)
    assert "mean GPU utilisation of 93.0 %" in extra
    without = [replace(j, notes=()) for j in told.judgements]
    assert without == [replace(j, notes=()) for j in plain.judgements]


def _site(folder: Path) -> Config:
    """Of which the night of these hours was audited."""
    path = folder / "guard.toml"
    path.write_text(f'[lake]\npath = "{folder}/lake"\n[report]\npath = "{folder}/reports"\n', "utf-8")
    document = folder / "reports" / "2026-05-28" / "audit.json"
    document.parent.mkdir(parents=True)
    document.write_text("{}", "utf-8")
    os.utime(document, (document.stat().st_atime, document.stat().st_mtime - 60))
    return load_config(path)


def _bring(folder: Path, answer: Callable[[str, float], Reply]) -> None:
    (folder / "sacct.txt").write_text(monitors.sacct_text())
    with talking(answer) as server:
        prometheus(server.url, SINCE, UNTIL, None, folder / "sacct.txt", None, folder / "guard.toml")


def test_hours_that_are_imported_into_an_audited_night_open_it_and_the_same_again_do_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = _site(tmp_path)

    _bring(tmp_path, fine)
    first = capsys.readouterr().out
    opened = open_nights(settings, tmp_path / "lake")
    (tmp_path / "lake" / "reopened.jsonl").unlink()
    _bring(tmp_path, fine)

    assert "2026-05-28 was audited before this came: 3 runs on 2 nodes" in first
    assert opened == ["2026-05-28"]
    assert "was audited before" not in capsys.readouterr().out
    assert open_nights(settings, tmp_path / "lake") == []


def test_hours_that_came_before_an_import_failed_open_their_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _site(tmp_path)
    kept = imports.keep_hour

    def keep_first(lake: Path, cluster: str, at: float, tables: Any) -> Any:
        if at > AT:
            raise GuardError("lake-unwritable", "it is full")
        return kept(lake, cluster, at, tables)

    monkeypatch.setattr(imports, "keep_hour", keep_first)

    with pytest.raises(GuardError, match="lake-unwritable"):
        _bring(tmp_path, fine)

    assert open_nights(settings, tmp_path / "lake") == ["2026-05-28"]


def _filled_after(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes `n` files and no more."""
    write, n_written = lake_write.write_whole, 0

    def write_first(path: Path, fill: Callable[[Any], object]) -> None:
        nonlocal n_written
        if n_written == n:
            raise OSError(28, "No space left on device", str(path))
        write(path, fill)
        n_written += 1

    monkeypatch.setattr(imports, "write_whole", write_first)


def test_an_hour_of_which_a_full_disk_took_a_part_opens_its_night_and_is_whole_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _site(tmp_path)

    with monkeypatch.context() as full:
        _filled_after(1, full)
        with pytest.raises(GuardError, match=r"lake-unwritable: .*No space left"):
            _bring(tmp_path, fine)

    assert len(files(tmp_path)) == 1
    assert open_nights(settings, tmp_path / "lake") == ["2026-05-28"]
    _bring(tmp_path, fine)
    other = tmp_path / "other"
    other.mkdir()
    _site(other)
    _bring(other, fine)
    assert files(tmp_path / "lake") == files(other / "lake")


def test_a_full_disk_that_takes_nothing_of_an_hour_opens_no_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = _site(tmp_path)
    _filled_after(0, monkeypatch)

    with pytest.raises(GuardError, match=r"lake-unwritable: .*No space left"):
        _bring(tmp_path, fine)

    assert files(tmp_path) == {}
    assert "was audited before this came" not in capsys.readouterr().out
    assert open_nights(settings, tmp_path / "lake") == []


@pytest.mark.parametrize("n", [1, 2])
def test_of_an_hour_across_midnight_only_what_a_full_disk_took_has_come(
    n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    midnight = AT + 3 * HOUR
    rows = [
        {"cluster": "c", "node": node, "run": f"c/11/{node}/imported/1", "map": "imported"}
        | {"start_at": at, "end_at": at + 30, "covered_ms": 30_000}
        for node, at in (("n1", midnight - 20), ("n2", midnight + 10))
    ]
    tables = {"windows": pl.DataFrame(rows, schema=TABLES["windows"])}

    with monkeypatch.context() as full:
        _filled_after(n, full)
        if n == 1:
            with pytest.raises(Stopped) as caught:
                imports.keep_hour(tmp_path, "c", midnight, tables)
            first = caught.value.arrived
        else:
            first = imports.keep_hour(tmp_path, "c", midnight, tables).arrived
    then = imports.keep_hour(tmp_path, "c", midnight, tables).arrived

    assert [node for node, *_ in first] == ["n1", "n2"][:n]
    assert [node for node, *_ in then] == ["n1", "n2"][n:]


def test_an_hour_in_whose_place_something_else_lies_is_named_and_the_others_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take(tmp_path)
    paths = sorted((tmp_path / "lake" / "v1" / "windows").rglob("*.parquet"))
    whole = files(tmp_path)
    bad, good = paths[0], paths[1]
    bad.write_bytes(b"not ours")
    good.unlink()
    capsys.readouterr()

    with pytest.raises(GuardError) as caught:
        take(tmp_path)

    assert (caught.value.slug, caught.value.exit_code) == ("import-unreadable", 1)
    assert "1 of 2 hours" in caught.value.sentence
    assert f"{bad} cannot be read" in capsys.readouterr().out
    assert bad.read_bytes() == b"not ours"
    assert good.read_bytes() == whole[str(good.relative_to(tmp_path))]
