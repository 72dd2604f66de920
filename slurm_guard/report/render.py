"""The one Jinja environment: autoescape on, undefined is an error; templates of the checkout or the wheel."""

from functools import cache
from pathlib import Path

import jinja2

import slurm_guard
from slurm_guard.errors import GuardError
from slurm_guard.report.view import Page


def templates_dir() -> Path:
    """Where the templates lie: inside an installed package, or at the top of a checkout.

    Raises GuardError templates-missing.
    """
    package = Path(slurm_guard.__file__).parent
    for folder in (package / "share" / "reports", package.parent / "reports"):
        if (folder / "page.html.j2").is_file():
            return folder
    raise GuardError(
        "templates-missing",
        f"the report's templates are neither in {package / 'share'} nor beside the package",
        "install slurm-guard again",
    )


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_dir()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render_html(page: Page) -> str:
    """The nightly page: one self-contained file without scripts."""
    return _render("page.html.j2", page)


def render_mail_html(page: Page) -> str:
    """The mail's HTML with its style sheet still in the head; `mail.inline_css` moves it into the tags."""
    return _render("mail.html.j2", page)


def render_owner_html(view: object) -> str:
    """The letter to an owner (owner.OwnerView), likewise."""
    return _environment().get_template("owner.html.j2").render(view=view)


def _render(name: str, page: Page) -> str:
    return _environment().get_template(name).render(page=page)
