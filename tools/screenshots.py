"""Pictures of the sample's and the demo's pages and mails (or of pages that are named), and axe-core's word.

    python -m tools.screenshots [--out DIR] [--axe FILE] [--readme] [page.html …]

A mail is looked at as it is sent, with its drawings, and without them. `--readme` makes those of docs/img
alone. Ends with 1 on a serious or critical finding, and on a page that has to be scrolled sideways.
"""

import argparse
import email
import email.policy
import sys
from pathlib import Path

from slurm_guard.model import Audit
from slurm_guard.report import mail
from slurm_guard.report.archive import PAGE, find_document, list_nights, read_document
from slurm_guard.report.page import Options
from tools.browser import MOST_PX, Browser, Look, find_browser

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "reports" / "sample"
DEMO = ROOT / ".demo" / "reports"
IMAGES = ROOT / "docs" / "img"
AXE = ROOT / ".venv" / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = (1280, 768, 390)
GRAVE = ("serious", "critical")
# The README's: (file, page or mail, look, the element at its top or none, how high).
README = (
    ("report.png", "report", Look(1280), "", 1650),
    ("card-phone.png", "report", Look(390), "article.card", 1210),
    ("mail-phone.png", "mail", Look(390), "", 1210),
    ("trend-dark.png", "report", Look(390, dark=True), "#trend", 560),
)


def label(page: Path) -> str:
    """What its pictures are called: pages of the same name in two folders are two."""
    return f"{page.resolve().parent.name.lstrip('.')}-{page.stem}"


def looks(page: Path) -> dict[str, Look]:
    """Every way a page is looked at; a mail without its images as well, and on paper what is printed."""
    found = {
        f"{label(page)}-{width}{'-dark' if dark else ''}": Look(width, dark, forced="mail" in page.stem)
        for width in WIDTHS
        for dark in (False, True)
    }
    if "mail" in page.stem:
        found |= {f"{label(page)}-{width}-no-images": Look(width, images=False) for width in (1280, 390)}
    else:
        found[f"{label(page)}-print"] = Look(794, media="print")  # the width of A4 at 96 dots an inch
    return found


def write_mail(audit: Audit, site: str, folder: Path) -> Path:
    """The HTML of a night's digest as it is sent, with its drawings as files beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    envelope = mail.Envelope("slurm-guard@hpc.example.org", "hpc-admins@example.org")
    night = mail.night_of(audit, Options().zone).day
    night_page = f"/var/lib/slurm-guard/reports/{night}/{PAGE}"
    letter = mail.compose(audit, Options(site, night_page=night_page), envelope, audit.until_at)
    html, pictures = "", {}
    for part in email.message_from_bytes(letter.content, policy=email.policy.default).walk():
        if part.get_content_type() == "text/html":
            html = part.get_content()
        elif part.get_content_maintype() == "image":
            pictures[str(part["Content-ID"]).strip("<>")] = part
    for cid, part in pictures.items():
        (folder / str(part.get_filename())).write_bytes(part.get_content())
        html = html.replace(f'src="cid:{cid}"', f'src="{part.get_filename()}"')
    if not pictures:
        print("screenshots: resvg-py or a font is missing, so mails have no drawings", file=sys.stderr)
    path = folder / "mail.html"
    path.write_text(html, "utf-8")
    return path


def find_pages(out: Path) -> list[Path]:
    """The sample's pages and its mail, and the demo's where there is one."""
    from tests.unit.report import builders

    found = [SAMPLE / "report.html", SAMPLE / "nights.html"]
    found.append(write_mail(builders.night(), "Aurora (invented)", out / "mails" / "sample"))
    if list_nights(DEMO):
        path = find_document(DEMO, None)
        mail = write_mail(read_document(path), "a simulated cluster", out / "mails" / "demo")
        found += [path.with_name(PAGE), mail]
    return found


def main() -> int:
    """The pictures, a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DEMO.parent / "screenshots")
    parser.add_argument("--axe", type=Path, default=AXE, help="axe.min.js of axe-core")
    parser.add_argument("--readme", action="store_true", help="those of docs/img alone")
    parser.add_argument("pages", nargs="*", type=Path)
    options = parser.parse_args()
    program = find_browser()
    if program is None:
        print("screenshots: no Chromium found (Debian: apt install chromium)", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    pages = options.pages or find_pages(options.out)
    if options.readme:
        return shoot_readme(program, {page.stem: page for page in reversed(pages)})
    axe = options.axe.read_text(encoding="utf-8") if options.axe.is_file() else ""
    if not axe:
        print(f"screenshots: {options.axe} is missing, so nothing is asked of axe-core", file=sys.stderr)
    n_bad, said = 0, set[str]()
    with Browser(program) as browser:
        for page in pages:
            for name, look in looks(page).items():
                n_bad += _look(browser, page, look, (options.out / f"{name}.png", axe), said)
    return 1 if n_bad else 0


def shoot_readme(program: str, pages: dict[str, Path]) -> int:
    """docs/img anew."""
    with Browser(program) as browser:
        for name, kind, look, top, height in README:
            browser.show(pages[kind], look)
            from_px = browser.top_px(top) if top else 0
            browser.shoot(IMAGES / name, look.width, from_px, from_px + height)
            print(IMAGES / name)
    return 0


def _look(browser: Browser, page: Path, look: Look, to: tuple[Path, str], known: set[str]) -> int:
    """One picture, in parts where it is too high for one; how many things are wrong with it. Each finding is
    printed once."""
    path, axe = to
    browser.show(page, look)
    aside, height = browser.sideways_px(look.width), browser.height_px()
    parts = shoot_whole(browser, path, look.width, height)
    faults = browser.find_faults(axe) if axe and not look.media and not look.forced_dark else []
    grave = [fault for fault in faults if fault[0] in GRAVE]
    wide = f"; {aside} px too wide" if aside else ""
    several = f"; in {len(parts)} parts" if len(parts) > 1 else ""
    asked = f"; axe-core: {len(grave)} serious of {len(faults)}" if axe and not look.media else ""
    print(f"{parts[0]} ({look.width} x {height}{several}{wide}{asked})")
    for impact, rule, words, where in faults:
        line = f"    {impact}: {rule}: {words}: {where}"
        if line not in known:
            print(line)
            known.add(line)
    return len(grave) + (aside > 0)


def shoot_whole(browser: Browser, path: Path, width: int, height: int) -> list[Path]:
    """All of it: one picture, or several one below the other where Chromium draws none as high."""
    tops = range(0, max(1, height), MOST_PX)
    parts = (
        [path] if len(tops) == 1 else [path.with_stem(f"{path.stem}-{k}") for k in range(1, len(tops) + 1)]
    )
    for part, top in zip(parts, tops, strict=True):
        browser.shoot(part, width, top, top + MOST_PX)
    return parts


if __name__ == "__main__":
    sys.exit(main())
