"""The accounting parser against sacct output of real clusters (Slurm 18.08 to 24.11).

How these files differ from what we ask for: steps are in (no -X), times are local ISO and not %s, there is no
0x1f, comments are not last, and two sources have no header; the tests put on what is known about each.
"""

import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.hostlist import expand
from slurm_guard.slurm.rows import parse_rows
from slurm_guard.slurm.sacct import runs_of_text
from slurm_guard.slurm.tres import count_gpus

pytestmark = pytest.mark.shared_data
JOBS = Path(__file__).parents[2].parent / "shared" / "data" / "jobs"
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
ALL_TIME = (1e9, 4e9)
# Open XDMoD's shredder and Sonar call sacct without a header; these are the fields they ask for.
XDMOD = (
    "JobID|JobIDRaw|Cluster|Partition|QOS|Account|Group|GID|User|UID|Submit|Eligible|Start|End|Elapsed|ExitCode|"
    "State|NNodes|NCPUS|ReqCPUS|ReqMem|ReqTRES|AllocTRES|Timelimit|NodeList|JobName"
)
SONAR = (
    "JobID|JobIDRaw|User|Account|State|Start|End|AveCPU|AveDiskRead|AveDiskWrite|AveRSS|AveVMSize|ElapsedRaw|"
    "ExitCode|Layout|MaxRSS|MaxVMSize|MinCPU|ReqCPUS|ReqMem|ReqNodes|Reservation|Submit|Suspended|SystemCPU|"
    "TimelimitRaw|UserCPU|NodeList|Partition|AllocTRES|Priority|JobName"
)


def text_of(name: str, header: str | None = None) -> str:
    path = JOBS / name
    if not path.exists():
        pytest.skip("the shared data folder is not beside this checkout")
    text = path.read_bytes().decode("utf-8", "replace")
    return text if header is None else f"{header}\n{text}"


def in_epoch(text: str) -> str:
    """Local ISO times as the seconds that %s would have given in UTC."""
    return ISO.sub(
        lambda m: str(int(datetime.fromisoformat(m[0]).replace(tzinfo=timezone.utc).timestamp())), text
    )


@pytest.mark.parametrize(
    "name",
    ["sample-sacct-fake-line-break", "sample-sacct-one-multiline", "sample-sacct-multiple-multiline"],
)
def test_rows_with_line_breaks_inside_are_joined_as_a_person_joined_them(name: str) -> None:
    rows, problems = parse_rows(text_of(f"gcm/{name}.txt"))

    expected, _ = parse_rows(text_of(f"gcm/{name}-expected.txt"))
    plain = [{key: value.replace("\n", "") for key, value in row.items()} for row in rows]
    assert problems == []
    assert [row["JobIDRaw"] for row in rows] == [row["JobIDRaw"] for row in expected]
    assert [row["AllocTRES"] for row in plain] == [row["AllocTRES"] for row in expected]
    assert any("\n" in value for row in rows for value in row.values())


def test_every_row_of_a_clusters_hour_is_read() -> None:
    rows, problems = parse_rows(text_of("gcm/sample-sacct-output.txt"))

    assert (len(rows), problems) == (68, [])


def test_a_row_cut_short_is_a_problem_and_not_a_row() -> None:
    assert parse_rows(text_of("gcm/sample-sacct-output-with-invalid-lines.txt")) == (
        [],
        ["line 2: 93 fields where 109 are named"],
    )


def test_bytes_that_are_no_utf8_do_not_move_a_column() -> None:
    rows, problems = parse_rows(text_of("gcm/sample-sacct-output-invalid-utf8.txt"))

    assert (len(rows), problems) == (11, [])
    assert any("\ufffd" in value for row in rows for value in row.values())


def test_local_times_are_refused_for_the_whole_text_with_the_right_command() -> None:
    with pytest.raises(GuardError, match="epoch seconds") as caught:
        runs_of_text(text_of("gcm/sample-sacct-output.txt"), "", ALL_TIME, "sacct-file")
    assert "SLURM_TIME_FORMAT=%s" in caught.value.hint


def test_4285_rows_of_a_cluster_give_every_job_its_nodes_and_gpu_time() -> None:
    text = in_epoch(text_of("xdmod/phillips.log", XDMOD))
    rows, problems = parse_rows(text)

    loaded = runs_of_text(text, "", ALL_TIME, "sacct-file")

    assert (len(rows), problems, loaded.cluster) == (4285, [], "phillips")
    nodes = {row["JobIDRaw"]: int(row["NNodes"]) for row in rows}
    assert [run.id for run in loaded.runs if len(run.nodes) != nodes[str(run.job_id)]] == []
    seconds = {row["JobIDRaw"]: int(row["End"]) - int(row["Start"]) for row in rows}
    charged = sum(count_gpus(row["AllocTRES"]).n * seconds[row["JobIDRaw"]] for row in rows)
    assert sum(run.allocated_gpu_ms for run in loaded.runs) == charged * 1000 > 0
    assert {skip.reason for skip in loaded.skips} == set()


def test_typed_gpus_of_a_cluster_with_two_kinds_are_counted_once() -> None:
    loaded = runs_of_text(in_epoch(text_of("sonar/sacct_resource.txt", SONAR)), "fox", ALL_TIME, "sacct-file")

    found = [(run.job_id, run.n_gpus, run.gpu_type, run.nodes, run.state) for run in loaded.runs]
    assert found == [
        (1879824, 1, "a100", ("gpu-2",), "RUNNING"),
        (1902893, 4, "a100_80", ("gpu-9",), "RUNNING"),
    ]


def test_steps_among_the_rows_are_not_taken_for_jobs() -> None:
    text = in_epoch(text_of("sonar/sacct-output.txt", SONAR))

    loaded = runs_of_text(text, "fox", ALL_TIME, "sacct-file")

    jobs = {line.split("|")[1] for line in text.split("\n")[1:] if re.match(r"[^|]+\|\d+\|", line)}
    assert loaded.runs
    assert {str(run.job_id) for run in loaded.runs} <= jobs


@pytest.mark.parametrize("name", ["gcm/sample-sacct-output.txt", "gcm/sample-sacct-fake-line-break.txt"])
def test_every_real_host_list_expands_to_as_many_nodes_as_accounting_counts(name: str) -> None:
    rows, _ = parse_rows(text_of(name))

    counted = [(len(expand(row["NodeList"])), row["NNodes"]) for row in rows if row["NNodes"].isdigit()]
    assert counted
    assert [pair for pair in counted if str(pair[0]) != pair[1]] == []
