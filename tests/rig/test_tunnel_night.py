"""A night in which a job lets somebody in from outside and diverts a GPU for him: one ALERT, both halves."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.document import from_json
from slurm_guard.model import Audit, Family, Verdict
from tests.rig import cluster, outside, procs, services
from tests.rig.layout import Rig, load_rig
from tests.rig.night import Plan, Result, run_night

pytestmark = [
    pytest.mark.rig,
    pytest.mark.root,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="the rig needs root"),
    pytest.mark.skipif(bool(services.missing_packages()), reason=f"missing: {services.missing_packages()}"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="missing: iproute2"),
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A short folder that ordinary users can enter; the rig in it is ended whatever happens."""
    path = Path(tempfile.mkdtemp(prefix="rig-", dir="/var/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        cluster.down(path / "r")
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def night(folder: Path) -> Result:
    """The night; the rig is still up after it."""
    return run_night(folder / "r", folder / "out", Plan(seed=5, of="tunnel"), keep=True)


@pytest.fixture(scope="module")
def rig(folder: Path, night: Result) -> Rig:
    """The rig that the night left."""
    return load_rig(folder / "r")


@pytest.fixture(scope="module")
def document(folder: Path, night: Result) -> Audit:
    """What the auditor wrote."""
    return from_json((folder / "out" / "audit.json").read_text("utf-8"))


def test_verdicts_findings_and_the_time_axis_are_as_the_committed_table_says(night: Result) -> None:
    assert night.faults == []


def test_there_is_one_alert_and_it_speaks_of_the_tunnel_and_of_the_work(document: Audit) -> None:
    alerts = [judged for judged in document.judgements if judged.verdict is Verdict.ALERT]

    assert [judged.run.name for judged in alerts] == ["rl-agent"]
    assert "reverse tunnel in use" in alerts[0].sentence
    assert alerts[0].unexplained.lo_gpu_ms > 0


def test_a_plain_user_of_ssh_to_the_same_host_has_no_finding_on_the_network(document: Audit) -> None:
    plain = next(judged for judged in document.judgements if judged.run.name == "seg-tune")

    assert [f.check for f in plain.findings if f.family is Family.F] == []


def test_the_page_draws_both_halves_in_one_chart(folder: Path, document: Audit) -> None:
    page = (folder / "out" / "report.html").read_text("utf-8")
    charts = re.findall(r"<svg.*?</svg>", page, re.DOTALL)

    both = [
        c for c in charts if "reverse tunnel: " in c and "unexplained" in c and "GPU time by account" in c
    ]
    assert both
    assert "203.0.113." in json.dumps([f.sentence for j in document.judgements for f in j.findings])


def test_down_leaves_no_process_and_no_joint(rig: Rig) -> None:
    cluster.down(rig.path)

    links = subprocess.run(["ip", "-br", "link"], check=True, capture_output=True, text=True).stdout
    assert procs.sweep(rig) == []
    assert outside.joint(rig)[0] not in links
