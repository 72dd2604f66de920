"""The committed lake of format 1, copied for a test, and the command line on it."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from slurm_guard.errors import GuardError
from tests.formats.makelake import FIXTURE, NIGHT, settings_text

DOCUMENT = FIXTURE / "reports" / NIGHT / "audit.json"
FROM_AT, UNTIL_AT = 1_760_472_000.0, 1_760_475_000.0
NO_WORD_OF_LATER = 1  # the disposition, which is the second word, was said when the night had been audited


@dataclass(frozen=True, slots=True)
class Site:
    """A copy that a test may change."""

    home: Path

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    @property
    def settings(self) -> Path:
        return self.home / "guard.toml"

    @property
    def night(self) -> Path:
        return self.home / "reports" / NIGHT

    def run(self, *words: object) -> str:
        """One command as it is typed; what it prints. Its GuardError is raised, another failure fails."""
        from slurm_guard.cli import app

        if not app.app.registered_commands:
            app._register()
        done = CliRunner().invoke(app.app, [*map(str, words), "--config", str(self.settings)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    def audit(self, *words: object) -> dict[str, Any]:
        """The night, audited again where the site keeps it."""
        window = ("--since", FROM_AT, "--until", UNTIL_AT, "--sacct-file", self.home / "sacct.txt")
        self.run("audit", *window, "--words-up-to", NO_WORD_OF_LATER, *words)
        found: dict[str, Any] = json.loads((self.night / "audit.json").read_text("utf-8"))
        return found


def copy(home: Path) -> Site:
    """With the modes that a site has, whatever git made of them."""
    shutil.copytree(FIXTURE, home, dirs_exist_ok=True)
    (home / "reports" / "site-words.jsonl").chmod(0o640)
    site = Site(home)
    site.settings.write_text(settings_text(home), "utf-8")
    site.settings.chmod(0o644)
    return site


def differences(old: Any, new: Any, place: str = "") -> set[str]:
    """Places at which two documents differ, `[]` for each of a list; a list of another length is one."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = {*old, *new}
        found = [differences(old.get(name), new.get(name), f"{place}.{name}".lstrip(".")) for name in names]
        return set().union(*found)
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return set().union(*(differences(a, b, f"{place}[]") for a, b in zip(old, new, strict=True)))
    return set() if old == new and type(old) is type(new) else {place}


__all__ = ["DOCUMENT", "FIXTURE", "FROM_AT", "NIGHT", "UNTIL_AT", "GuardError", "Site", "copy", "differences"]
