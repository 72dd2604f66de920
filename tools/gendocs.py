"""Writes the pages that come from the code, PAGES. `--check` says whether they are true."""

import dataclasses
import sys
from pathlib import Path

from slurm_guard.config import Config
from slurm_guard.configmaintenance import EXAMPLES, MaintenanceConfig
from tools.genchecks import checks
from tools.gendoctor import doctor

DOCS = Path(__file__).parents[1] / "docs"
RECIPES = Path(__file__).with_name("recipes.md")  # the end of the configuration's page, written by hand


def configuration() -> str:
    """The configuration reference as Markdown, one table a section."""
    out = [
        "# Configuration",
        "",
        "One file, `/etc/slurm-guard/guard.toml`, for the node half and the audit half. Every key has a",
        "default, so an empty file is a valid one. `slurm-guard config check` names a wrong key together",
        "with the nearest valid one; `slurm-guard config show` prints what holds. A wrong key stops every",
        "command, but not the sampler: it passes over what it does not know, as guard.toml may be there",
        "before the release that knows the key, and says so in the journal (`config-unknown`). This page",
        "is generated from `slurm_guard/config.py`.",
    ]
    for table in dataclasses.fields(Config):
        section = getattr(Config(), table.name)
        if isinstance(section, list):
            out += _windows()
            continue
        out += ["", f"## [{table.name}]", "", "| key | default | meaning |", "| --- | --- | --- |"]
        out += [
            f"| `{part.name}` | `{getattr(section, part.name)!r}` | {part.metadata['help']} |"
            for part in dataclasses.fields(section)
        ]
    return "\n".join(out) + "\n\n" + RECIPES.read_text(encoding="utf-8")


def _windows() -> list[str]:
    """[[maintenance]], which may be there any number of times and has no default."""
    out = [
        "",
        "## [[maintenance]]",
        "",
        "One table for each window ([maintenance](operate.md#maintenance-windows)).",
    ]
    out += ["", "| key | example | meaning |", "| --- | --- | --- |"]
    return out + [
        f"| `{part.name}` | `{EXAMPLES[part.name]}` | {part.metadata['help']} |"
        for part in dataclasses.fields(MaintenanceConfig)
    ]


PAGES = {"configuration.md": configuration, "checks.md": checks, "doctor.md": doctor}


def main(arguments: list[str]) -> int:
    """Write every page; with --check only compare (exit 1 when one is stale)."""
    stale = [name for name, render in PAGES.items() if not _is_true(name, render())]
    if "--check" in arguments:
        for name in stale:
            print(f"docs/{name} is stale: run python -m tools.gendocs")
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
    return 0


def _is_true(name: str, text: str) -> bool:
    path = DOCS / name
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
