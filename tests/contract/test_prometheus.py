"""A real Prometheus of Debian's: a night is backfilled into it, imported, audited and told of."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.cli.imports import prometheus
from slurm_guard.errors import GuardError
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.text import Style, render_text
from tests import monitors
from tests.monitors import AT, HOUR
from tests.unit.cli.test_imports import SINCE, UNTIL, files, judged, take

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        monitors.find_program("prometheus") is None or monitors.find_program("promtool") is None,
        reason="there is no prometheus: tools/bootstrap rig installs Debian's",
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    text = monitors.openmetrics(hole=(AT + 600, AT + 1200))
    with monitors.prometheus(tmp_path_factory.mktemp("server"), text) as url:
        yield url


def test_a_night_in_it_is_audited_and_the_report_says_what_is_not_shown(server: str, tmp_path: Path) -> None:
    (tmp_path / "sacct.txt").write_text(monitors.sacct_text())
    prometheus(server, SINCE, UNTIL, None, tmp_path / "sacct.txt", tmp_path / "lake", None)
    before = files(tmp_path)
    prometheus(server, SINCE, UNTIL, None, tmp_path / "sacct.txt", tmp_path / "lake", None)

    done = judged(tmp_path)

    assert files(tmp_path) == before
    by_job = {j.run.job_id: j for j in done.judgements}
    assert {n: j.verdict.value for n, j in by_job.items()} == {
        11: "NOT AUDITABLE", 12: "NOTE", 13: "NOT AUDITABLE", 14: "NOT AUDITABLE"
    }  # fmt: skip
    assert 4 * 600_000 <= by_job[11].ledger_gpu_ms["unobserved"] <= 4 * 700_000
    assert by_job[12].ledger_gpu_ms["idle"] >= 0.98 * by_job[12].run.allocated_gpu_ms
    page = " ".join(render_text(build_page(done, Options()), Style(100)).split())
    assert (
        "Read by another monitor: 2 nodes of 2 (Prometheus, dcgm-exporter, a reading every 30 s (2)." in page
    )
    assert "This cannot show which processes worked" in page
    assert "No run needs a look today" in page


def test_it_says_what_the_tests_stand_in_says(server: str, tmp_path: Path) -> None:
    """The stand-in of the other tests answers as the real one does: the same lake, byte for byte."""
    text = monitors.openmetrics(hole=(AT + 600, AT + 1200))
    (tmp_path / "sacct.txt").write_text(monitors.sacct_text())
    prometheus(server, SINCE, UNTIL, None, tmp_path / "sacct.txt", tmp_path / "lake", None)
    (tmp_path / "other").mkdir()
    take(tmp_path / "other", lambda query, at: (200, {}, monitors.answer(text, query, at)))

    assert {k: v for k, v in files(tmp_path).items() if "other" not in k} == files(tmp_path / "other")


def test_matchers_are_its_own_language_and_a_wrong_one_takes_nothing(server: str, tmp_path: Path) -> None:
    (tmp_path / "sacct.txt").write_text(monitors.sacct_text())
    with pytest.raises(GuardError) as none:
        prometheus(server, SINCE, UNTIL, 'job="x"', tmp_path / "sacct.txt", tmp_path / "lake", None)
    with pytest.raises(GuardError) as wrong:
        prometheus(server, SINCE, UNTIL, 'job=~"("', tmp_path / "sacct.txt", tmp_path / "lake", None)
    prometheus(server, SINCE, UNTIL, 'job=~"dcgm|gpus"', tmp_path / "sacct.txt", tmp_path / "lake", None)

    assert (none.value.slug, wrong.value.slug) == ("prometheus-nothing", "prometheus-incomplete")


def test_hours_before_the_first_reading_are_empty_and_no_error(server: str, tmp_path: Path) -> None:
    (tmp_path / "sacct.txt").write_text(monitors.sacct_text())

    prometheus(server, str(AT - 2 * HOUR), UNTIL, None, tmp_path / "sacct.txt", tmp_path / "lake", None)
