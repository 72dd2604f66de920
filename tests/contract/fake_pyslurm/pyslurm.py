"""Stands in for PySlurm 25.11.2 as far as its source was read: what it leaves out, it leaves out here too.

Jobs come from the rows of $FAKE_PYSLURM_ROWS (JSON, sacct's names). One job id has one job, the last of its
rows; zeros are null; counts of GRES are objects; an unknown TRES is printed to stdout; users are looked up.
"""

import json
import os
import pwd
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

if os.environ.get("PYSLURM_DISABLE_AUTO_INIT") is None:
    sys.exit("fatal: importing PySlurm reads slurm.conf")
_ready = False


def slurm_init() -> None:
    """Ends the interpreter, as libslurm's fatal() does, where there is no slurm.conf."""
    global _ready
    if os.environ.get("FAKE_PYSLURM_FATAL"):
        print("fatal: Unable to process configuration file", file=sys.stderr)
        os._exit(1)
    _ready = True


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() and int(text) else None


def _seconds(text: str) -> int | None:
    hours, minutes, seconds = (int(part) for part in (text or "0:0:0").split(":"))
    return (hours * 60 + minutes) * 60 + seconds or None


def _name(uid: str) -> str:
    try:
        return pwd.getpwuid(int(uid)).pw_name
    except KeyError:
        return uid


def _gres(text: str) -> dict[str, Any]:
    found = {}
    for item in text.split(","):
        name, _, count = item.partition("=")
        if name.startswith("gres/"):
            found[name[5:]] = SimpleNamespace(type_and_name=name, count=int(count))
        elif name not in ("billing", "cpu", "mem", "node", ""):
            print(name, count)
    return found


def _job(row: dict[str, str]) -> Any:
    array, _, task = row["JobID"].partition("_")
    het, _, offset = row["JobID"].partition("+")
    return SimpleNamespace(
        id=int(row["JobIDRaw"]),
        array_id=int(array) if task else None,
        array_task_id=_number(task),
        heterogeneous_id=int(het) if offset else None,
        heterogeneous_offset=_number(offset),
        cluster=row["Cluster"],
        state=row["State"].partition(" ")[0],
        submit_time=_number(row["Submit"]),
        start_time=_number(row["Start"]),
        end_time=_number(row["End"]),
        elapsed_time=_number(row["ElapsedRaw"]),
        suspended_time=_seconds(row["Suspended"]),
        allocated_tres=SimpleNamespace(gres=_gres(row["AllocTRES"])) if row["AllocTRES"] else None,
        num_nodes=_number(row["NNodes"]),
        nodelist=row["NodeList"] or None,
        user_name=_name(row["UID"]),
        user_id=int(row["UID"]),
        account=row["Account"] or None,
        partition=row["Partition"] or None,
        qos=row["QOS"] or None,
        standard_output=row["StdOut"] or None,
        working_directory=row["WorkDir"] or None,
        name=row["JobName"] or None,
        extra=row["Extra"] or None,
        comment=row["Comment"] or None,
        requeue_count=int(row.get("Restarts") or 0),
    )


class _Jobs:
    @staticmethod
    def load(wanted: Any) -> dict[int, Any]:
        if not _ready:
            os._exit(1)
        rows = json.loads(Path(os.environ["FAKE_PYSLURM_ROWS"]).read_text("utf-8"))
        chosen = [
            row for row in rows if row["Cluster"] in (getattr(wanted, "clusters", None) or [row["Cluster"]])
        ]
        return {int(row["JobIDRaw"]): _job(row) for row in chosen}


db = SimpleNamespace(JobFilter=lambda **chosen: SimpleNamespace(**chosen), Jobs=_Jobs)
