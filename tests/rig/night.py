"""One night: real jobs of ordinary users, then the stages, run by an auditor who cannot see the truth."""

import json
import platform
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

from slurm_guard.document import from_json
from slurm_guard.model import Audit
from tests.rig import cluster, outside, procs, stages
from tests.rig.halves import LATE_S, find_network_faults, read_visits
from tests.rig.jobs import (
    Charge,
    Place,
    drained_nodes,
    read_charges,
    wait_for_jobs,
    wait_for_outlivers,
    wait_for_seals,
)
from tests.rig.judge import HEADER, Case, find_faults, render_row, worst_sum_ms
from tests.rig.layout import Rig, RigError
from tests.rig.scenarios import (
    Expected,
    Scenario,
    draw_night,
    draw_tunnel_night,
    draw_varied_night,
    load_expected,
)
from tests.rig.submit import submit
from tests.rig.truth import read_truth

PRODUCTION_STRETCH = (
    85.0  # so that an idle allocation of 45 s becomes longer than the hour that is called parked
)


NIGHTS = {"whole": draw_night, "tunnel": draw_tunnel_night, "varied": draw_varied_night}


class Plan(NamedTuple):
    """What is asked of a night. `share` null: drawn from the seed; `of`: one of NIGHTS."""

    seed: int = 1
    share: float | None = None
    scale: str = "rig"
    proctrack: str = "auto"
    of: str = "whole"


class Result(NamedTuple):
    """A night as it went."""

    cases: list[Case]
    faults: list[str]
    wall_s: float


def run_night(folder: Path, out: Path, plan: Plan, keep: bool = False) -> Result:
    """Up (or what is up), jobs, stages, judgement; down again unless the rig was there before or `keep`."""
    begun = time.monotonic()
    was_up = (folder / "rig.json").exists()
    try:
        rig = cluster.up(folder, plan.proctrack, plan.scale, plan.seed)
        say(begun, f"rig up in {rig.root}, proctrack/{rig.proctrack}, {rig.scale} scale")
        result = _night(rig, out, plan, begun)
    finally:
        if not was_up and not keep:
            cluster.down(folder)
    say(begun, "down" if not was_up and not keep else "left running")
    return result._replace(wall_s=time.monotonic() - begun)


def say(begun: float, words: str) -> None:
    """A line of the night's course, with the seconds since it began."""
    print(f"{time.monotonic() - begun:6.1f} s  {words}", flush=True)


def _night(rig: Rig, out: Path, plan: Plan, begun: float) -> Result:
    since = time.time() - 1
    stretch = PRODUCTION_STRETCH if rig.scale == "production" else 1.0
    drawn = NIGHTS[plan.of](plan.seed, plan.share, stretch)
    guests = [part.guest for part in drawn if part.guest is not None]
    if guests:
        say(begun, f"a host outside at {outside.start(rig)}")
    jobs = {submit(rig, part.workload, part.user, part.args, part.env): part for part in drawn}
    for guest in guests:
        outside.invite(rig, guest)
    say(begun, f"{len(jobs)} jobs submitted by ordinary users, seed {plan.seed}")
    places = wait_for_jobs(rig, jobs, 420.0 * stretch)
    say(begun, "all jobs have ended")
    procs.stop(rig, outside.GUEST)
    quiet_at = wait_for_outlivers(rig, 120.0 * stretch)
    segment_s = 120.0 if rig.scale == "production" else 30.0
    unsealed = wait_for_seals(rig, jobs, quiet_at, segment_s + 30.0)
    say(begun, "streams sealed" if not unsealed else f"no seal of {unsealed}")
    charges = read_charges(rig, jobs)
    document = run_stages(rig, out, since, begun)
    faults = [f"node out of service: {line}" for line in drained_nodes(rig)]
    cases = _cases(rig, jobs, places, charges, document)
    expected = load_expected(plan.of)
    faults += _network_faults(rig, cases, expected)
    result = _report(cases, faults, out, expected)
    (out / "night.json").write_text(json.dumps(_summary(rig, result), indent=1) + "\n", "utf-8")
    return result


def run_stages(rig: Rig, out: Path, since: float, begun: float) -> Audit:
    """collect, audit, report and mail as the auditor, into `out`. RigError when he sees too much."""
    seen = stages.check_curtain(rig)
    if seen:
        raise RigError(f"the auditor could read {', '.join(seen)}")
    say(begun, "collect:" + stages.run_guard(rig, ["collect"]).strip().splitlines()[0])
    night = rig.path / "reports" / "night"
    document = str(night / "audit.json")
    window = ["--since", f"{since:.3f}", "--until", f"{time.time():.3f}"]
    say(begun, "audit: " + stages.run_guard(rig, ["audit", *window, "-o", document]).strip())
    page = str(night / "report.html")
    stages.run_guard(rig, ["report", "--audit", document, "--format", "html", "-o", page])
    say(
        begun,
        "mail: " + stages.run_guard(rig, ["mail", "--audit", document, "--send"]).strip().splitlines()[-1],
    )
    out.mkdir(parents=True, exist_ok=True)
    for name in ("audit.json", "report.html"):
        shutil.copyfile(night / name, out / name)
    _keep_inputs(rig, out, window)
    _fetch_mail(rig, out / "mail.eml")
    return from_json((out / "audit.json").read_text("utf-8"))


_SACCT = """
import sys
from slurm_guard.slurm.sacct import Sacct
sys.stdout.write(Sacct("sacct", 60.0, sys.argv[1]).read_text(float(sys.argv[2]), float(sys.argv[3])))
"""


def _keep_inputs(rig: Rig, out: Path, window: list[str]) -> None:
    """What the audit read, so that it can be run again without the rig: lake, accounting's text, settings."""
    shutil.rmtree(out / "lake", ignore_errors=True)
    shutil.copytree(rig.path / "lake", out / "lake")
    shutil.copyfile(rig.guard_toml, out / "guard.toml")
    rows = procs.call(rig, [rig.python, "-c", _SACCT, rig.cluster, window[1], window[3]])
    (out / "sacct.txt").write_text(rows, "utf-8")
    again = [
        "slurm-guard audit",
        *window,
        "--lake lake --sacct-file sacct.txt --config guard.toml -o again.json",
    ]
    words = "#!/bin/sh\n# The same audit of the same night, in this folder.\n" + " ".join(again) + "\n"
    (out / "again.sh").write_text(words, "utf-8")


def _fetch_mail(rig: Rig, target: Path) -> None:
    """The newest letter that the SMTP server took."""
    letters = sorted((rig.path / "mail" / "new").iterdir(), key=lambda path: path.stat().st_mtime)
    if not letters:
        raise RigError("the SMTP server has taken no letter")
    shutil.copyfile(letters[-1], target)


def _cases(
    rig: Rig, jobs: dict[int, Scenario], places: dict[int, Place], charges: dict[int, Charge], document: Audit
) -> list[Case]:
    judged = {judgement.run.job_id: judgement for judgement in document.judgements}
    cases = []
    for job, scenario in jobs.items():
        place, charge = places[job], charges[job]
        truth = read_truth(rig.gpu_dir(place.node), place.gpus, charge.start_at, charge.end_at)
        cases.append(Case(scenario, job, place.node, charge, truth, judged.get(job)))
    return cases


def _network_faults(rig: Rig, cases: list[Case], expected: dict[str, Expected]) -> list[str]:
    """What the guest noted, beside what the document says of the network."""
    visits = read_visits(outside.guest_log(rig))
    if visits is not None:
        print(f"the guest came in from {visits.first_at:.1f} to {visits.last_at:.1f}, {visits.n} exchanges")
    return [
        fault
        for case in cases
        for fault in find_network_faults(
            case, expected[case.scenario.name].network, visits, LATE_S[rig.scale]
        )
    ]


def _report(cases: list[Case], faults: list[str], out: Path, expected: dict[str, Expected]) -> Result:
    lines = [HEADER, *(render_row(case) for case in cases)]
    faults += [fault for case in cases for fault in find_faults(case, expected[case.scenario.name])]
    text = "\n".join(lines)
    print(f"\n{text}\n")
    for fault in faults:
        print(f"NOT AS EXPECTED  {fault}")
    (out / "night.txt").write_text(text + "\n" + "".join(f"{fault}\n" for fault in faults), "utf-8")
    print(
        f"{'as expected' if not faults else f'{len(faults)} faults'}; {out}/audit.json, report.html, mail.eml"
    )
    return Result(cases, faults, 0.0)


def _summary(rig: Rig, result: Result) -> dict[str, Any]:
    """What ran and how it went, for a table of several nights (slurms.py)."""
    wrong = {fault.partition(":")[0] for fault in result.faults}
    return {
        "slurm": procs.version(["slurmctld", "-V"]).split()[-1],
        "python": platform.python_version(),
        "mariadb": procs.version(["mariadbd", "--version"]).split()[2].split("-")[0],
        "proctrack": rig.proctrack,
        "runs": len(result.cases),
        "as_expected": sum(case.scenario.name not in wrong for case in result.cases),
        "worst_sum_ms": worst_sum_ms(result.cases),
        "faults": result.faults,
    }
