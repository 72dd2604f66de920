"""Every recorded environment through the real hooks and the run book: which run it speaks of, and its end."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from slurm_guard import wire
from slurm_guard.hooks.end import write_end
from slurm_guard.hooks.environ import Environ
from slurm_guard.hooks.settings import Settings
from slurm_guard.hooks.ticket import write_ticket
from slurm_guard.sampler.endings import edit_of
from slurm_guard.sampler.runs import Folders, Run, RunBook
from tests.unit.hooks import facts
from tests.unit.hooks.facts import CASES, FIXTURES, VERSIONS

BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
HERE = [
    (version, case) for version in VERSIONS for case in CASES if list((FIXTURES / version).glob(f"{case}.*"))
]


class Host:
    """A host of the rig's two nodes on which hooks are run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = Settings(
            run_dir=f"{root}/run",
            spool_dir=f"{root}/spool",
            client_dir=f"{root}/client",
            gpu_devices=f"{root}/nvidia",
        )
        self.traces: list[str] = []
        self.books = {
            node: RunBook(Folders(f"{root}/run/{node}", f"{root}/spool/{node}"), node, BOOT)
            for node in ("n1", "n2")
        }
        self.ended: list[tuple[Run, wire.EndMark]] = []

    def play(self, path: Path) -> dict[str, Any]:
        """One hook; returns what it wrote."""
        hook = path.name.split(".")[-2]
        lines = path.read_text("utf-8").splitlines()[1:]
        raw = dict(line.encode().split(b"=", 1) for line in lines)
        kind = "tickets" if hook == "prolog" else "ends"
        before = set(self.root.glob(f"spool/*/{kind}/*"))
        (write_ticket if hook == "prolog" else write_end)(self.settings, Environ(raw), self.traces.append)
        (new,) = set(self.root.glob(f"spool/*/{kind}/*")) - before
        body: dict[str, Any] = json.loads(new.read_text())
        self.books[body["node"]].poll()
        for run in self.books[body["node"]].runs.values():
            if run.mark is not None:  # nothing runs here, so that every mark is believed
                self.ended.append((run, run.mark))
                run.take_end(run.mark)
                run.mark = None
        return body

    def play_all(self, version: str, case: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """A whole case: tickets and end marks in their order."""
        bodies = [self.play(path) for path in sorted((FIXTURES / version).glob(f"{case}.*.env"))]
        return [b for b in bodies if b["k"] == "ticket"], [b for b in bodies if b["k"] == "end"]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize(("version", "case"), HERE, ids=[f"{v}-{c}" for v, c in HERE])
def test_every_run_has_one_ticket_and_its_own_end(host: Host, version: str, case: str) -> None:
    tickets, ends = host.play_all(version, case)

    assert len({t["run"] for t in tickets}) == len(tickets) == CASES[case].runs
    if not tickets:
        assert [end["run"] for end in ends] == [None, None]
        return
    assert Counter(e["run"] for e in ends) == Counter(t["run"] for t in tickets)
    by_run = {t["run"]: t for t in tickets}
    for end in ends:
        ticket = by_run[end["run"]]
        for name in ("node", "cluster", "job_id", "boot_id", "uid", "slurm_start_at", "sluid"):
            assert end[name] == ticket[name], name
        assert end["boot_s"] >= ticket["boot_s"]
    assert {run.ended_by for book in host.books.values() for run in book.runs.values()} == {"epilog"}
    assert [line for line in host.traces if "progress file" not in line] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_last_array_task_is_the_arrays_own_id(host: Host, version: str) -> None:
    tickets, _ = host.play_all(version, "array")

    ids = [t["job_id"] for t in tickets]
    assert ids[-1] == min(ids)
    assert len(set(ids)) == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_a_het_jobs_parts_name_their_leader(host: Host, version: str) -> None:
    tickets, _ = host.play_all(version, "het")

    (leader,) = {t["het_job_id"] for t in tickets}
    assert sorted(t["job_id"] for t in tickets) == [leader, leader + 1]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_edited_comment_shows_beside_the_prologs_copy(host: Host, version: str) -> None:
    (ticket,), (end,) = host.play_all(version, "edited")

    assert (ticket["comment"], end["comment"]) == ("guard:task=x", "guard:task=y")
    ((run, mark),) = host.ended
    assert edit_of(run.ticket, mark) == "changed"


@pytest.mark.parametrize(
    ("version", "case"),
    [row for row in HERE if row[1] not in ("edited", "cleared", "salloc-without-flags")],
    ids=str,
)
def test_an_untouched_comment_is_no_edit(host: Host, version: str, case: str) -> None:
    host.play_all(version, case)

    assert {edit_of(run.ticket, mark) for run, mark in host.ended} == {None}


def test_a_cleared_comment_is_an_edit(host: Host) -> None:
    host.play_all("22.05", "cleared")

    assert [edit_of(run.ticket, mark) for run, mark in host.ended] == ["changed"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_first_epilog_run_again_names_its_own_run_where_slurm_lets_it(host: Host, version: str) -> None:
    first, end, second, _ = sorted((FIXTURES / version).glob("requeue.*.env"))
    runs = [host.play(first)["run"], host.play(second)["run"]]

    named = host.play(end)["run"]

    assert named == (runs[1] if version == "22.05" else runs[0])


@pytest.mark.parametrize(
    ("version", "case", "sharing", "visible"),
    [
        ("22.05", "batch", None, "0,1"),
        ("24.11", "batch", [], "0,1"),
        ("24.11", "mps", ["mps"], "0"),
        ("26.05", "oversubscribed", [], "0,1"),
        ("24.11", "forced", [], "0,1"),
        ("26.05", "shard", [], "0"),
        ("26.05", "salloc", [], "0"),
        ("22.05", "cpu-only", None, None),
    ],
)
def test_sharing_and_visible_devices_are_what_the_prolog_was_told(
    host: Host, version: str, case: str, sharing: list[str] | None, visible: str | None
) -> None:
    (ticket,), _ = host.play_all(version, case)

    assert (ticket["sharing"], ticket["visible"]) == (sharing, visible)
    assert ("sharing" in ticket["why"]) is (sharing is None)


def test_mig_instances_come_with_their_uuids(host: Host) -> None:
    (ticket,), _ = host.play_all("25.11", "mig")

    assert ticket["gpus"] == [3, 5]
    assert re.fullmatch(r"MIG-[0-9a-f-]{36},MIG-[0-9a-f-]{36}", ticket["visible"])


def test_the_page_of_facts_is_true() -> None:
    assert facts.PAGE.read_text("utf-8") == facts.render(), "run python -m tests.unit.hooks.facts"


def test_every_fixture_belongs_to_a_case_and_says_where_it_comes_from() -> None:
    paths = sorted(FIXTURES.rglob("*.env"))

    assert {path.name.split(".")[0] for path in paths} == set(CASES)
    for path in paths:
        head = path.read_text("utf-8").splitlines()[0]
        assert re.match(rf"# (recorded|from source), Slurm {re.escape(path.parent.name)}\b", head), path


def test_what_a_fact_points_to_exists() -> None:
    tests = "\n".join(path.read_text("utf-8") for path in (facts.ROOT / "tests").rglob("test_*.py"))
    for fact in facts.FACTS:
        if fact.how == "real":
            assert f"def {fact.proof}(" in tests, fact
        elif fact.how == "recorded":
            assert len(facts.recorded_on(fact)) > 1, fact
        else:
            assert fact.how == "source", fact
            assert fact.proof.startswith(("src/", "CHANGELOG/")), fact
