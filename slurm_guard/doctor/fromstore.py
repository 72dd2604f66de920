"""The lake's object store as this machine knows it: nothing is asked over the network."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from slurm_guard.config import Config


@dataclass(frozen=True, slots=True)
class StoreState:
    """`url` empty: no store is named. `kind`: source, copy, or empty before the first round; `last_at`: when
    here and there were last the same, null: never."""

    url: str = ""
    has_library: bool = True
    kind: str = ""
    last_at: float | None = None


def load_store(config: Config) -> StoreState:
    """Raises GuardError store-role."""
    if not config.lake.store:
        return StoreState()
    from slurm_guard.lake.store.mark import read_role, read_round

    lake = Path(config.lake.path)
    role = read_role(lake)
    has_library = importlib.util.find_spec("boto3") is not None
    return StoreState(config.lake.store, has_library, role.kind if role else "", read_round(lake))
