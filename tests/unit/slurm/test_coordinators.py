"""Who coordinates which account, as sacctmgr says it; a sacctmgr that fails is named."""

from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.slurm.coordinators import load_coordinators, parse_coordinators

# `sacctmgr -nP show account withcoord format=Account,Coordinators` of Slurm 22.05
TEXT = "chem|\nphysics|ann,bob\nroot|\nlab-2|zoe\n"


def test_accounts_without_a_coordinator_are_left_out() -> None:
    assert parse_coordinators(TEXT) == {"physics": ("ann", "bob"), "lab-2": ("zoe",)}


@pytest.mark.parametrize("text", ["", "\n", "|ann\n", "physics\n", "physics|,, \n", "\x00\x1b[31m\n"])
def test_odd_lines_name_nobody(text: str) -> None:
    assert parse_coordinators(text) == {}


def _program(folder: Path, body: str) -> str:
    path = folder / "sacctmgr"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(folder / "sacct")


def test_sacctmgr_beside_sacct_is_asked(tmp_path: Path) -> None:
    sacct = _program(tmp_path, f'printf "%s\\n" "$*" >{tmp_path}/asked; printf "physics|ann\\n"')

    assert load_coordinators(sacct, 5.0) == {"physics": ("ann",)}
    assert (tmp_path / "asked").read_text().startswith("-nP show account withcoord")


@pytest.mark.parametrize("body", ["echo >&2 'sacctmgr: error: refused'; exit 1", "sleep 20", None])
def test_what_fails_is_said_with_a_remedy(body: str | None, tmp_path: Path) -> None:
    sacct = _program(tmp_path, body) if body is not None else str(tmp_path / "sacct")

    with pytest.raises(GuardError, match="coordinators-unknown") as caught:
        load_coordinators(sacct, 0.3)

    assert "coordinators_of" in caught.value.hint
