"""What the shim hands over: `name=value` arguments, fixed at install time. No file is read."""

from __future__ import annotations

from slurm_guard.light import NamedTuple


class Settings(NamedTuple):
    """Folders and switches of one hook; prolog/README.md explains each under its name in capitals."""

    run_dir: str = "/run/slurm-guard"
    spool_dir: str = "/var/lib/slurm-guard/spool"
    client_dir: str = "/var/lib/slurm-guard/progress"
    config: str = "/etc/slurm-guard/guard.toml"
    lib: str = "/usr/lib/slurm-guard"
    start_sampler: str = "yes"
    sampler_python: str = "/opt/slurm-guard/bin/python3"
    sampler_ld_library_path: str = ""
    gpu_devices: str = "/dev/nvidia"
    syslog: str = "/dev/log"
    disabled: str = "/etc/slurm-guard/disabled"


def parse_settings(args: list[str]) -> Settings:
    """Settings from `name=value` words; empty values keep the default. ValueError names the wrong word.

    A name that is not known is passed over: during an upgrade the shim may be of the next release.
    """
    given: dict[str, str] = {}
    for word in args:
        name, sign, value = word.partition("=")
        if not sign or not name:
            raise ValueError(f"no setting {word[:80]!r}")
        if value and name in Settings._fields:
            given[name] = value
    return Settings(**given)
