"""Drawings as PNG for a mail: the night's bar and each alert's timeline, each with the same in a sentence.

A library makes the PNG (resvg-py, optional: docs/dependencies.md). Where it is not installed, or finds no
font to write with, there are no pictures, and the mail's bars made of table cells stand alone.
"""

import itertools
import re

from slurm_guard.report.render import render_picture, templates_dir
from slurm_guard.report.view import Card, Page, Picture

MOST_PICTURES = 5  # judgement: the sixth alert of a night is read on the page
MOST_BYTES = 110_000  # of PNG: half the mail's budget when encoded
_ZOOMS = (2.0, 1.5, 1.0)  # of the narrow drawing, sharp on a phone; a wide one has letters of 6 px there
_BAR_PX = (480, 26)
_LESS, _MORE = re.compile(r"<(?=\d)"), re.compile(r">(?=−?\d)")
FONTS = ("DejaVu Sans", "Liberation Sans", "Noto Sans", "Arial", "Helvetica")


def draw(page: Page) -> tuple[Picture, ...]:
    """The night's bar, then the alerts' timelines, as large as they fit; none without library or fonts."""
    if not can_draw():
        return ()
    drawings = _drawings(page)
    for zoom in _ZOOMS:
        found = tuple(Picture(cid, to_png(svg, zoom), alt) for cid, alt, svg in drawings)
        sizes = list(itertools.accumulate(len(picture.png) for picture in found))
        if not sizes or sizes[-1] <= MOST_BYTES:
            return found
    return tuple(picture for picture, size in zip(found, sizes, strict=True) if size <= MOST_BYTES)


def _drawings(page: Page) -> list[tuple[str, str, str]]:
    """(cid, alt, SVG) of each."""
    css = picture_css()
    width, height = _BAR_PX
    found = []
    if page.bar.segments:
        alt = read_aloud(f"Where {page.total} went: {page.bar.alt}.")
        found.append(("ledger", alt, render_picture(width, height, css, bar=page.bar)))
    alerts = [c for s in page.sections if s.slug == "alert" for c in s.cards]
    for card in [c for c in alerts if c.timeline is not None][:MOST_PICTURES]:
        assert card.timeline is not None
        chart = card.timeline.narrow
        svg = render_picture(chart.width, chart.height, css, chart=chart)
        found.append((card.row.anchor, alt_of(card), svg))
    return found


def alt_of(card: Card) -> str:
    """What the timeline shows, for those who do not see it: amounts and unexplained stretches."""
    amounts = ", ".join(f"{fact.label} {fact.value}" for fact in card.ledger)
    said = [f"Timeline of job {card.row.job}: {amounts}."]
    if card.timeline is not None and card.timeline.stretches:
        said.append(f"Unexplained: {'; '.join(card.timeline.stretches)}.")
    return read_aloud(" ".join(said))


def read_aloud(text: str) -> str:
    """For the words behind a picture, which the inliner writes inside a tag's quotes: there `<` and `>` are
    right as HTML and no sight for a filter, and before a number a voice says what they mean."""
    said = _MORE.sub("over ", _LESS.sub("under ", text))
    return said.translate({ord("<"): "‹", ord(">"): "›"})


def can_draw() -> bool:
    """Whether the library is there and writes: a head node may have no font at all."""
    try:
        import resvg_py  # noqa: F401
    except ImportError:
        return False
    letters = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><text y="15">GPU</text></svg>'
    return to_png(letters) != to_png(letters.replace("GPU", " "))


def to_png(svg: str, zoom: float = 1.0) -> bytes:
    """Raises ImportError where the library is not installed."""
    import resvg_py

    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg, zoom=zoom, font_family=FONTS[0], sans_serif_family=FONTS[0], background="#ffffff"
        )
    )


def picture_css() -> str:
    """The page's rules for drawings, in the light colours: the library knows neither variables nor media."""
    sheet = (templates_dir() / "page.css").read_text(encoding="utf-8")
    colors = dict(re.findall(r"--([a-z-]+): ([^;]+);", sheet[: sheet.index("@media")]))
    rules = sheet[sheet.index("/* the drawings") :]
    rules = re.sub(r"/\*.*?\*/", "", rules[: rules.index("@media")], flags=re.DOTALL)
    rules = re.sub(r"var\(--([a-z-]+)\)", lambda match: colors[match[1]], rules)
    family = ", ".join(f"'{name}'" for name in FONTS)
    rules += ".shade-lines { display: none; }"  # a tint alone is a third of the bytes
    return f"{rules}\ntext {{ font-family: {family}, sans-serif; font-size: 12px; }}\n"
