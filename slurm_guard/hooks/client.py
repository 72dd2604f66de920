"""The progress file of a run: made by root, owned by the job's user, never opened again by a hook."""

import os

from slurm_guard.hooks.spool import client_store, open_folder

FILE_NAME = "progress.jsonl"
_RUN_FOLDER_MODE = 0o711  # the user passes through; the TaskProlog knows the file's name


def make_progress_file(client_dir: str, run_name: str, uid: int, gid: int | None) -> str:
    """Make `<client_dir>/<run_name>/progress.jsonl` (0600, the user's) and return its path.

    The folder is root's and new, so that its owner can neither swap nor link anything in it. Raises OSError.
    """
    client_fd = open_folder(client_store(client_dir), "")
    try:
        os.mkdir(run_name, _RUN_FOLDER_MODE, dir_fd=client_fd)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        run_fd = os.open(run_name, flags, dir_fd=client_fd)
    finally:
        os.close(client_fd)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(FILE_NAME, flags, 0o600, dir_fd=run_fd)
    finally:
        os.close(run_fd)
    try:
        os.fchown(fd, uid, -1 if gid is None else gid)
    finally:
        os.close(fd)
    return f"{client_dir}/{run_name}/{FILE_NAME}"
