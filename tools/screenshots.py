"""Pictures of the sample report (or of a page that is named) to look at, and what axe-core says of them.

    python -m tools.screenshots [--out DIR] [--axe FILE] [page.html …]

Without a page: `reports/sample`, and the demo's report where there is one. Ends with 1 on a serious or
critical finding, and on a page that has to be scrolled sideways.
"""

import argparse
import sys
from pathlib import Path

from tools.browser import Browser, Look, find_browser

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "reports" / "sample"
DEMO = ROOT / ".demo" / "reports"
AXE = ROOT / ".venv" / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = (1280, 768, 390)
GRAVE = ("serious", "critical")


def looks(page: Path) -> dict[str, Look]:
    """Every way a page is looked at; a mail without its images as well, and on paper what is printed."""
    found = {
        f"{page.stem}-{width}{'-dark' if dark else ''}": Look(width, dark)
        for width in WIDTHS
        for dark in (False, True)
    }
    if "mail" in page.stem:
        found |= {f"{page.stem}-{width}-no-images": Look(width, images=False) for width in (1280, 390)}
    else:
        found[f"{page.stem}-print"] = Look(794, media="print")  # the width of A4 at 96 dots an inch
    return found


def main() -> int:
    """The pictures, a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / ".demo" / "screenshots")
    parser.add_argument("--axe", type=Path, default=AXE, help="axe.min.js of axe-core")
    parser.add_argument("pages", nargs="*", type=Path)
    options = parser.parse_args()
    program = find_browser()
    if program is None:
        print("screenshots: no Chromium found (Debian: apt install chromium)", file=sys.stderr)
        return 1
    axe = options.axe.read_text(encoding="utf-8") if options.axe.is_file() else ""
    if not axe:
        print(f"screenshots: {options.axe} is missing, so nothing is asked of axe-core", file=sys.stderr)
    options.out.mkdir(parents=True, exist_ok=True)
    pages = options.pages or [
        SAMPLE / "report.html",
        SAMPLE / "nights.html",
        SAMPLE / "mail.html",
        *sorted(DEMO.glob("*/report.html")),
    ]
    n_bad, said = 0, set[str]()
    with Browser(program) as browser:
        for page in pages:
            for name, look in looks(page).items():
                n_bad += _look(browser, page, look, (options.out / f"{name}.png", axe), said)
    return 1 if n_bad else 0


def _look(browser: Browser, page: Path, look: Look, to: tuple[Path, str], known: set[str]) -> int:
    """One picture; how many things are wrong with it. Each finding is printed once."""
    path, axe = to
    browser.show(page, look)
    aside, height = browser.sideways_px(look.width), browser.height_px()
    browser.shoot(path, look.width)
    faults = browser.find_faults(axe) if axe and not look.media else []
    grave = [fault for fault in faults if fault[0] in GRAVE]
    wide = f"; {aside} px too wide" if aside else ""
    asked = f"; axe-core: {len(grave)} serious of {len(faults)}" if axe and not look.media else ""
    print(f"{path} ({look.width} x {height}{wide}{asked})")
    for impact, rule, words, where in faults:
        line = f"    {impact}: {rule}: {words}: {where}"
        if line not in known:
            print(line)
            known.add(line)
    return len(grave) + (aside > 0)


if __name__ == "__main__":
    sys.exit(main())
