"""The files that an installation puts there: hooks, settings, configuration, units, accounts, cron."""

import json
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import slurm_guard
from slurm_guard.config import Config
from slurm_guard.configmaintenance import EXAMPLES as MAINTENANCE_EXAMPLES
from slurm_guard.configmaintenance import MaintenanceConfig
from slurm_guard.errors import GuardError
from slurm_guard.install.change import HOOKS, TASK_PROLOG, Change, Places

PACKED_PYTHON = "/opt/slurm-guard/bin/python"  # what the units of the package name
PACKED_PROGRAM = "/opt/slurm-guard/bin/slurm-guard"
SERVICE = "slurm-guardd.service"
TIMER = "slurm-guard-audit.timer"
AUDITOR = "slurm-guard-audit"
SETTINGS = "slurm-guard-hooks.conf"
CONFIGURATION = "guard.toml"
_FIRST_NAMES = {"PYTHON", "LIB", "SAMPLER_PYTHON", "START_SAMPLER"}  # what an installation writes into it
_PREFIX_NAMES = {"RUN_DIR", "SPOOL_DIR", "CLIENT_DIR", "CONFIG", "DISABLED"}


@dataclass(frozen=True, slots=True)
class Installation:
    """The running slurm-guard: where its package lies, the real interpreter, its own, and its program."""

    lib: Path
    python: Path
    sampler_python: Path
    program: Path


def shared(name: str) -> Path:
    """A file that comes with the package: inside an installed one, or at the top of a checkout."""
    package = Path(slurm_guard.__file__).parent
    for folder in (package / "share", package.parent):
        if (folder / name).is_file():
            return folder / name
    raise GuardError(
        "install-incomplete",
        f"{name} is neither in {package / 'share'} nor beside the package",
        "install it again",
    )


def node_files(
    places: Places, have: Installation, old_settings: Mapping[Path, bytes], systemd: bool
) -> list[Change]:
    """Hooks and their settings, and with systemd the sampler's unit, its folders and accounts."""
    settings = hook_settings(places, have, systemd and places.is_system)
    why = "which Python and which folders the hooks take"
    # First: in an upgrade a shim of before then meets the package of now, never the other way round.
    found = [
        Change(path, merge_settings(old_settings.get(path, b""), settings), 0o644, why)
        for path in settings_paths(places)
    ]
    found += [
        Change(places.libexec / name, shared(name).read_bytes(), 0o755, "what slurmd runs")
        for name in (*HOOKS.values(), TASK_PROLOG)
    ]
    if systemd:
        unit = packed(SERVICE).replace(PACKED_PYTHON, str(have.sampler_python))
        found += [
            _unit(places, SERVICE, unit),
            Change(
                places.at("/etc/sysusers.d/slurm-guard.conf"),
                _text("slurm-guard.sysusers"),
                0o644,
                "accounts",
            ),
            Change(
                places.at("/etc/tmpfiles.d/slurm-guard.conf"), _text("slurm-guard.tmpfiles"), 0o644, "folders"
            ),
        ]
    return found


def head_files(places: Places, have: Installation, systemd: bool) -> list[Change]:
    """The nightly audit: a timer and its service, or a line of cron's."""
    if not systemd:
        path = places.at("/etc/cron.d/slurm-guard")
        return [Change(path, cron_line(have).encode(), 0o644, "the nightly audit, as there is no systemd")]
    service = packed("slurm-guard-audit.service").replace(PACKED_PROGRAM, str(have.program))
    return [
        _unit(places, "slurm-guard-audit.service", service),
        _unit(places, TIMER, packed(TIMER)),
        Change(
            places.at("/etc/sysusers.d/slurm-guard-audit.conf"),
            _text("slurm-guard-audit.sysusers"),
            0o644,
            "the account of the audit",
        ),
        Change(
            places.at("/etc/tmpfiles.d/slurm-guard-audit.conf"),
            _text("slurm-guard-audit.tmpfiles"),
            0o644,
            "lake and reports",
        ),
    ]


def guard_toml(places: Places) -> bytes:
    """Every key with its default as a comment; with a prefix, the folders below it are set."""
    ours = _places_of_config(places)
    lines = [
        "# slurm-guard's configuration, for nodes and head (docs/configuration.md). A key without # holds",
        "# instead of its default; `slurm-guard config check` says whether the file is right.",
        "",
    ]
    config = Config()
    for table in fields(config):
        if isinstance(getattr(config, table.name), list):
            continue  # a window of maintenance has no defaults: below
        lines.append(f"[{table.name}]")
        for part in fields(getattr(config, table.name)):
            default = json.dumps(getattr(getattr(config, table.name), part.name))
            key = f"{table.name}.{part.name}"
            lines.append(f"# {part.metadata['help']}")
            lines.append(
                f"{part.name} = {json.dumps(ours[key])}" if key in ours else f"# {part.name} = {default}"
            )
        lines.append("")
    lines += ["# [[maintenance]]   # one window each"]
    for part in fields(MaintenanceConfig):
        lines += [f"# {part.metadata['help']}", f"# {MAINTENANCE_EXAMPLES[part.name]}"]
    return "\n".join([*lines, ""]).encode()


def _places_of_config(places: Places) -> dict[str, object]:
    if places.is_system:
        return {}
    state = str(places.state)
    return {
        "node.run_dir": str(places.run),
        "node.spool_dir": f"{state}/spool",
        "node.disabled": str(places.etc / "disabled"),  # the hooks' DISABLED: one file switches both off
        "lake.path": f"{state}/lake",
        "lake.spools": [f"{state}/spool"],
        "progress.client_dir": f"{state}/progress",
        "report.path": f"{state}/reports",
    }


def hook_settings(places: Places, have: Installation, by_systemd: bool) -> dict[str, str]:
    """slurm-guard-hooks.conf (man slurm-guard-install)."""
    found = {"PYTHON": str(have.python), "LIB": str(have.lib), "SAMPLER_PYTHON": str(have.sampler_python)}
    if by_systemd:
        found["START_SAMPLER"] = "no"
    if not places.is_system:
        found |= {
            "RUN_DIR": str(places.run),
            "SPOOL_DIR": f"{places.state}/spool",
            "CLIENT_DIR": f"{places.state}/progress",
            "CONFIG": str(places.etc / "guard.toml"),
            "DISABLED": str(places.etc / "disabled"),
        }
    return found


def settings_paths(places: Places) -> tuple[Path, ...]:
    """Where the shims look: /etc/slurm-guard, or beside them when there is a prefix."""
    if places.is_system:
        return (places.etc / SETTINGS,)
    return (places.libexec / "prolog" / SETTINGS, places.libexec / "epilog" / SETTINGS)


def merge_settings(old: bytes, new: dict[str, str]) -> bytes:
    """The settings file with our values; a site's other lines stay."""
    left = dict(new)
    out = []
    for line in old.decode("utf-8", "surrogateescape").splitlines():
        name = line.partition("=")[0].strip()
        if name in new and not line.lstrip().startswith("#"):
            if name in left:
                out.append(f"{name}={left.pop(name)}")
            continue
        out.append(line)
    if not old:
        out.append("# Written by `slurm-guard install`; more settings stand in `man slurm-guard-install`.")
    out += [f"{name}={value}" for name, value in left.items()]
    return ("\n".join(out) + "\n").encode("utf-8", "surrogateescape")


def holds_site_settings(path: Path, content: bytes) -> bool:
    """Whether a settings file holds lines that no installation writes: a site's own."""
    names = (_FIRST_NAMES | _PREFIX_NAMES) if path.parent.name in ("prolog", "epilog") else _FIRST_NAMES
    lines = [line.strip() for line in content.decode("utf-8", "surrogateescape").splitlines()]
    return any(line and line[0] != "#" and line.partition("=")[0].strip() not in names for line in lines)


def cron_line(have: Installation) -> str:
    """The nightly chain for sites without systemd; as its unit, it goes on after audit's 3: no GPU job."""
    chain = "$g collect && { $g audit || [ $? -eq 3 ]; } && $g mail --send"
    return (
        "# slurm-guard: yesterday's audit, once a night and reader (docs/install.md)\n"
        f"30 2 * * * {AUDITOR} g={have.program}; {chain}\n"
    )


def packed(name: str) -> str:
    """A text of packaging/systemd."""
    return shared(f"packaging/systemd/{name}").read_text("utf-8")


def _text(name: str) -> bytes:
    return packed(name).encode()


def _unit(places: Places, name: str, text: str) -> Change:
    text = text.replace("/etc/slurm-guard/guard.toml", str(places.etc / "guard.toml"))
    if not places.is_system:
        text = text.replace("/var/lib/slurm-guard", str(places.state))
    return Change(places.at(f"/etc/systemd/system/{name}"), text.encode(), 0o644, "unit")


def this_installation() -> Installation:
    """The running one: hooks and units then name exactly this."""
    import os
    import sys

    here = Path(sys.executable)
    real = Path(os.path.realpath(getattr(sys, "_base_executable", None) or here))
    program = Path(sysconfig.get_path("scripts")) / "slurm-guard"
    return Installation(Path(slurm_guard.__file__).resolve().parents[1], real, here, program)
