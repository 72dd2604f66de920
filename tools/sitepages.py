"""For mkdocs: the Markdown beside docs/ becomes pages of the site, and links that leave docs/ find them.

A link to what the site has no page for (a test) stays as text: the site has no address of the source.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

BESIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "prolog/README.md": "hooks.md",
    "packaging/README.md": "packages.md",
}

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")


def _target(page: str, link: str) -> str | None:
    """The site's page or file behind a link of `page` (relative to the root), or None where there is none."""
    there = (ROOT / page).parent.joinpath(link).resolve()
    if not there.is_relative_to(ROOT):
        return None
    path = there.relative_to(ROOT).as_posix()
    if path in BESIDE:
        return BESIDE[path]
    return path.removeprefix("docs/") if path.startswith("docs/") and there.is_file() else None


def rewritten(page: str, text: str) -> str:
    """`page`'s text with links as the site has them."""

    def link(match: re.Match[str]) -> str:
        picture, words, target, place = match.groups(default="")
        if not target or re.match(r"[a-z]+:", target):
            return match.group()
        found = _target(page, target)
        return f"{picture}[{words}]({found}{place})" if found else words

    return _LINK.sub(link, text)


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File  # type: ignore[import-not-found]  # an environment of its own

    for source, page in BESIDE.items():
        text = rewritten(source, (ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    if page.file.src_uri in BESIDE.values():
        return markdown
    return rewritten(f"docs/{page.file.src_uri}", markdown)
