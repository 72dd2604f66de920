"""The file that a job's owner named at submit time (`progress=`): one more place to look, and a claim."""

from slurm_guard.intent import parse_intent

NAME = "declared"
MAX_PATH = 4096


def declared_path(comment: str | None, extra: str | None, work_dir: str | None, run: str) -> str | None:
    """The absolute path of the declared file, from the ticket's texts; null: none, or one without a folder.

    A relative path begins in the job's work directory. `%j` stands for the job id; nothing else is expanded.
    """
    named = parse_intent(comment, extra).progress
    if named is None:
        return None
    path = named.replace("%j", "".join(run.split("/")[1:2]))
    if not path.startswith("/"):
        if work_dir is None or not work_dir.startswith("/"):
            return None
        path = f"{work_dir.rstrip('/')}/{path.removeprefix('./')}"
    return path if len(path) <= MAX_PATH else None
