"""`slurm-guard checks`: what each check looks for, and what it does not see."""

from typing import TYPE_CHECKING, Annotated

import typer

from slurm_guard.cli.complete import complete_check

if TYPE_CHECKING:
    from slurm_guard.audit.check import Check


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(checks)


def checks(
    check: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="a check to explain in full", autocompletion=complete_check),
    ] = None,
) -> None:
    """List the checks, or explain one: what it detects and does not, false alarms, remedy, examples."""
    from slurm_guard.audit.registry import CHECKS
    from slurm_guard.cli.rendered import encode, encoding_of, put_out, style_of

    width = max(40, style_of(to_stdout=True).width)
    lines = _list(CHECKS, width) if check is None else _explain(_find(check, CHECKS), min(width, 100))
    put_out(encode("\n".join(lines) + "\n", encoding_of(to_stdout=True)), None)


def _find(name: str, known: "tuple[Check, ...]") -> "Check":
    """Raises GuardError check-unknown."""
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.report.safe import clean

    found = {check.id: check for check in known}
    wanted = name.strip().lower().replace("_", "-")
    if wanted in found:
        return found[wanted]
    near = sorted(found, key=lambda one: (-_likeness(wanted[:80], one), one))[:3]
    near = [one for one in near if _likeness(wanted[:80], one) >= _LIKE]
    hint = f"did you mean {' or '.join(near)}?" if near else "`slurm-guard checks` lists them"
    raise GuardError("check-unknown", f"there is no check {clean(name, 40)}", hint, EXIT_USAGE)


_LIKE = 0.7  # of a name or a word of it. Judgement


def _likeness(wanted: str, name: str) -> float:
    """To the id or to the nearest of its words: `tunel` is meant for `reverse-tunnel`."""
    from difflib import SequenceMatcher

    return max(SequenceMatcher(None, wanted, part).ratio() for part in (name, *name.split("-")))


def _list(known: "tuple[Check, ...]", width: int) -> list[str]:
    from slurm_guard.report.safe import fit

    size = max(len(check.id) for check in known)
    rows = [f"{check.id:<{size}}  {check.family.name}  {check.title}" for check in known]
    families = dict.fromkeys(
        f"{c.family.name} {c.family.value}" for c in sorted(known, key=lambda c: c.family.name)
    )
    return [
        *(fit(row, width).rstrip() for row in rows),
        "",
        *_wrap(f"{len(known)} checks. Families: {', '.join(families)}.", width),
        *_wrap("`slurm-guard checks ID` explains one.", width),
    ]


def _explain(check: "Check", width: int) -> list[str]:
    import dataclasses

    from slurm_guard.attack import spell

    out = [check.id, "=" * len(check.id), *_wrap(check.title + ".", width)]
    out += _wrap(f"Family {check.family.name}, {check.family.value}.", width)
    out += _wrap(f"{spell(check.attack)}.", width) if check.attack else []
    for name in ("detects", "does_not_detect", "false_alarms", "remedy"):
        label = name.replace("_", " ").capitalize()
        out += ["", *_wrap(f"{label}. {getattr(check, name)}", width)]
    values = [f"{f.name} = {getattr(check.params, f.name)}" for f in dataclasses.fields(check.params)]
    out += ["", *_wrap(f"Thresholds: {', '.join(values)}.", width)] if values else []
    for label, examples in (("Not held against the run", check.explained), ("Found", check.flagged)):
        out += ["", f"{label}:"]
        out += [line for e in examples for line in _wrap(f"  - {e.why}", width, "    ")]
    return out


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    import textwrap

    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)
