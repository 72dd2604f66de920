"""The small programs through which ours and a site's own run one after the other.

Ours first, then `exec` of the site's: it takes the process over, so its exit status, its signals, its output
and its name are its own, and nothing of it can keep ours from running. Ours is bounded by its own clock and
ends with 0; that it is missing changes nothing.
"""

import fnmatch
from pathlib import Path

GLOB = frozenset("*?[")


def site_call(ours: Path, site: str, key: str) -> bytes:
    """Runs our hook, then becomes the site's. `site`: a path, or a name for a shell to find."""
    lead = "" if key == "TaskProlog" else " </dev/null >/dev/null 2>&1"
    text = f"""#!/bin/sh
# Written by `slurm-guard install`: runs slurm-guard's hook, then becomes the site's own {key}, whose exit
# status and output are its own. Another program of the site's is named here, in the last line.
if [ -x {quote(str(ours))} ]; then
    {quote(str(ours))}{lead}
fi
exec {quote(site)} "$@"
"""
    return text.encode("utf-8", "surrogateescape")


def folder_call(ours: Path) -> bytes:
    """A program for a folder whose programs Slurm runs itself: 0 in any case, also when our hook is gone."""
    text = f"""#!/bin/sh
# Written by `slurm-guard install`: a file, not a link, so that a node without slurm-guard is not drained.
if [ -x {quote(str(ours))} ]; then
    {quote(str(ours))} </dev/null >/dev/null 2>&1
fi
exit 0
"""
    return text.encode("utf-8", "surrogateescape")


def quote(text: str) -> str:
    """As one word of a shell's, whatever is in it."""
    return "'" + text.replace("'", "'\\''") + "'"


def name_in(pattern: str) -> str | None:
    """A name that the last part of a glob matches and that sorts after its neighbours; null: none found.

    Slurm runs a glob's programs from z to a and stops at the first that fails: ours never fails, and sees the
    node before a site's epilog has cleaned it.
    """
    name = "zz-slurm-guard"
    last = pattern.rpartition("/")[2]
    tries = [last.replace("*", name, 1).replace("*", ""), name, f"{name}.sh"]
    tries += [f"99-{name}", f"99-{name}.sh"]
    for text in tries:
        if text and not GLOB & set(text) and not text.startswith(".") and fnmatch.fnmatchcase(text, last):
            return text
    return None
