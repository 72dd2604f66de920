"""NVML's accounting mode: turned on with the admin's consent alone, and put back, after a crash too."""

import os

from slurm_guard.light import Mapping, from_json, to_plain_json
from slurm_guard.sampler.nvml_board import NvmlBoard
from slurm_guard.sampler.whole import write_whole

NAME = "nvml-state.json"


class Accounting:
    """Keeps what the mode was in a file of the run folder, which a reboot empties as it does the mode."""

    def __init__(self, folder: str | None, wanted: bool) -> None:
        self._path = None if folder is None else os.path.join(folder, NAME)
        self._wanted = wanted and folder is not None
        self._before = self._load()

    def _load(self) -> dict[str, int]:
        """UUID -> mode that a sampler of ours found; empty: nothing is to be put back."""
        try:
            with open(self._path or "", encoding="ascii") as text:
                told = from_json(text.read())
        except (OSError, ValueError):
            return {}
        if not isinstance(told, dict):
            return {}
        return {uuid: mode for uuid, mode in told.items() if mode in (0, 1)}

    def settle(self, boards: Mapping[str, NvmlBoard]) -> None:
        """Bring the modes to what the configuration says; a board that comes later is settled later."""
        if not self._wanted:
            self.put_back(boards)
            return
        for uuid, board in boards.items():
            if uuid in self._before or board.parent is not None:  # never on with MIG (documented)
                continue
            mode, _ = board.accounting()
            if mode == 0:
                self._before[uuid] = 0
                if self._save():  # first what it was, then the change
                    board.set_accounting(1)

    def put_back(self, boards: Mapping[str, NvmlBoard]) -> None:
        """Every mode as it was found; boards that do not answer stay in the file for the next time."""
        if not self._before:
            return
        for uuid, mode in list(self._before.items()):
            if uuid in boards and boards[uuid].set_accounting(mode) is None:
                del self._before[uuid]
        self._save()

    def _save(self) -> bool:
        if self._path is None:
            return False
        if self._before:
            return write_whole(self._path, to_plain_json(self._before).encode("ascii"))
        try:
            os.unlink(self._path)
        except OSError:
            return False
        return True
