"""What a shell offers for an option's value; never an error, for nobody could read it there."""


def complete_night(incomplete: str) -> list[str]:
    """The nights that this reader may ask for, the latest first."""
    import os
    from pathlib import Path

    try:
        from slurm_guard.cli.chosen import archive_of
        from slurm_guard.config import load_config
        from slurm_guard.report.archive import list_nights
        from slurm_guard.report.ownfiles import own_nights

        archive = archive_of(load_config(None))
        nights = (
            own_nights(archive.own, os.getuid()) if archive.is_own else list_nights(Path(archive.reports))
        )
    except Exception:  # noqa: BLE001 - a shell that completes has no place for our words
        return []
    return [night for night in reversed(nights) if night.startswith(incomplete)]


def complete_verdict(incomplete: str) -> list[str]:
    """Verdicts as `--verdict` takes them."""
    from slurm_guard.report.narrow import SLUGS

    return [slug for slug in SLUGS if slug.startswith(incomplete.lower())]


def complete_check(incomplete: str) -> list[tuple[str, str]]:
    """Checks with their titles."""
    from slurm_guard.audit.registry import CHECKS

    return [(check.id, check.title) for check in CHECKS if check.id.startswith(incomplete)]


def complete_table(incomplete: str) -> list[tuple[str, str]]:
    """The lake's tables with what they hold."""
    from slurm_guard.lake.about import ABOUT

    return [(table, words) for table, words in ABOUT.items() if table.startswith(incomplete)]


def complete_column(incomplete: str) -> list[str]:
    """Columns of any table: which one is meant is not told here. Of `a,b` the last is completed."""
    from slurm_guard.lake.schema import TABLES

    done, comma, rest = incomplete.rpartition(",")
    names = dict.fromkeys(name for columns in TABLES.values() for name in columns)
    return [f"{done}{comma}{name}" for name in names if name.startswith(rest)]
