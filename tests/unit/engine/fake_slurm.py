"""sbatch, squeue and scancel as far as the engine needs them; the tasks of an array are real processes.

    python fake_slurm.py FOLDER PROGRAM ARGUMENTS…

FOLDER keeps one folder a job with one file a task: its state, or RUNNING with its process. FOLDER/mood has a
word: `refuse`, `held` and `cancel` (of each array), `forget` (ended jobs), `twice` (each task runs two
times at once), and `kill-N`: of the first N arrays the first task is killed as soon as it says anything.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path


def main(folder: Path, program: str, words: list[str]) -> int:
    """The program's exit status."""
    mood = (folder / "mood").read_text() if (folder / "mood").exists() else ""
    with (folder / "calls").open("a") as out:
        out.write(" ".join([program, *words]) + "\n")
    if program == "sbatch":
        return _submit(folder, mood, words)
    if program == "squeue":
        return _show(folder, mood, words[words.index("-j") + 1])
    for job in folder.glob("job-*"):
        if job.name.removeprefix("job-") in words or f"--name={(job / 'name').read_text()}" in words:
            _cancel(job, None)
        for word in words:
            if word.startswith(job.name.removeprefix("job-") + "_"):
                _cancel(job, word.rpartition("_")[2])
    return 0


def _submit(folder: Path, mood: str, words: list[str]) -> int:
    if mood == "refuse":
        sys.stderr.write("sbatch: error: Batch job submission failed: Invalid partition name specified\n")
        return 1
    given = dict(word.removeprefix("--").partition("=")[::2] for word in words if word.startswith("--"))
    n = int(given["array"].partition("-")[2]) + 1
    number = len(list(folder.glob("job-*"))) + 1
    job = folder / f"job-{number}"
    job.mkdir()
    (job / "name").write_text(given["job-name"])
    for index in range(n):
        (job / f"state-{index}").write_text("PENDING")
        if mood == "cancel":
            (job / f"state-{index}").write_text("CANCELLED")
        elif mood != "held":
            kills = mood.startswith("kill-") and number <= int(mood.removeprefix("kill-")) and index == 0
            _begin(job, index, (words[-1], given["output"]), kills=kills)
            if mood == "twice":
                _begin(job, index, (words[-1], given["output"]), kills=False)
    print(number)
    return 0


def _begin(job: Path, index: int, what: tuple[str, str], *, kills: bool) -> None:
    """A process of its own, which outlives sbatch, waits for the task and writes down how it ended."""
    script, output = what
    out = output.replace("%a", str(index))
    if os.fork():
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    env = {**os.environ, "SLURM_ARRAY_TASK_ID": str(index)}
    with Path(out).open("ab") as file:
        task = subprocess.Popen(["/bin/sh", script], env=env, stdout=file, stderr=file, cwd="/")
    (job / f"pid-{index}").write_text(str(task.pid))
    (job / f"state-{index}").write_text("RUNNING")
    while kills and task.poll() is None:
        if re.search(r" (survey|measure|judge)-[\w-]+: ", Path(out).read_text()):
            task.kill()
        time.sleep(0.01)
    ended = "COMPLETED" if task.wait() == 0 else "FAILED"
    if (job / f"state-{index}").read_text() != "CANCELLED":
        (job / f"state-{index}").write_text(ended)
    os._exit(0)


def _show(folder: Path, mood: str, number: str) -> int:
    job = folder / f"job-{number}"
    states = {path.name.partition("-")[2]: path.read_text() for path in sorted(job.glob("state-*"))}
    if mood == "forget" and not {"PENDING", "RUNNING", ""} & set(states.values()):
        sys.stderr.write("slurm_load_jobs error: Invalid job id specified\n")
        return 1
    for index, state in states.items():
        print(f"{index}|{state or 'RUNNING'}|{'JobHeldAdmin' if mood == 'held' else 'None'}")
    return 0


def _cancel(job: Path, index: str | None) -> None:
    for path in job.glob("state-*"):
        if index in (None, path.name.partition("-")[2]) and path.read_text() in ("PENDING", "RUNNING"):
            path.write_text("CANCELLED")
            pid = job / path.name.replace("state", "pid")
            if pid.exists():
                try:
                    os.kill(int(pid.read_text()), signal.SIGTERM)
                except ProcessLookupError:
                    pass


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
