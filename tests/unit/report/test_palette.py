"""The colours: told apart by colour-blind eyes, on grey paper, in the dark; letters with enough contrast.

Simulated with the matrices of Machado, Oliveira and Fernandes (2009) for full severity, in linear light;
distances are of CIE 1976 L*a*b* (a just noticeable one is about 2.3).
"""

import itertools
import math
import re

import pytest

from slurm_guard.report.render import templates_dir

CLASSES = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
EXPLAINED, UNEXPLAINED = ("progress", "phase", "wait"), ("residual", "contradiction", "foreign")
REST = ("idle", "unobserved", "unmatched")
Color = tuple[float, float, float]


def _palette(theme: str) -> dict[str, str]:
    sheet = (templates_dir() / "page.css").read_text(encoding="utf-8")
    light, dark = sheet.split("prefers-color-scheme: dark", 1)
    found = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light))
    return found if theme == "light" else found | dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", dark))


def _mail_palette() -> dict[str, str]:
    sheet = (templates_dir() / "mail.css").read_text(encoding="utf-8")
    return dict(re.findall(r"\.c-([a-z]+) \{ background-color: (#[0-9a-f]{6});", sheet))


def _linear(color: str) -> Color:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return r, g, b


def _seen(color: str, kind: str) -> Color:
    light = _linear(color)
    r, g, b = (
        min(1.0, max(0.0, sum(k * c for k, c in zip(row, light, strict=True)))) for row in CLASSES[kind]
    )
    return r, g, b


def _luminance(color: Color) -> float:
    return 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2]


def _lab(color: Color) -> Color:
    r, g, b = color
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, _luminance(color), z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def _apart(a: str, b: str, kind: str = "normal") -> float:
    return math.dist(_lab(_seen(a, kind)), _lab(_seen(b, kind)))


def _lightness(color: str) -> float:
    return _lab(_linear(color))[0]


def _contrast(a: str, b: str) -> float:
    low, high = sorted((_luminance(_linear(a)), _luminance(_linear(b))))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", sorted(CLASSES))
def test_explained_and_unexplained_never_look_alike(kind: str, theme: str) -> None:
    colors = _palette(theme)

    for a, b in itertools.product(EXPLAINED, UNEXPLAINED):
        assert _apart(colors[a], colors[b], kind) > 20, (a, b)


@pytest.mark.parametrize("kind", sorted(CLASSES))
def test_the_cells_of_a_mail_are_told_apart_without_patterns(kind: str) -> None:
    colors = _mail_palette()

    for a, b in itertools.product(EXPLAINED, UNEXPLAINED):
        assert _apart(colors[a], colors[b], kind) > 20, (a, b)
    for a, b in itertools.combinations(colors, 2):
        assert _apart(colors[a], colors[b], kind) > 5, (a, b)


def test_on_grey_paper_neighbours_of_a_bar_differ_in_lightness() -> None:
    page, mail = _palette("light"), _mail_palette()

    for colors in (page, mail):
        for group in (EXPLAINED, UNEXPLAINED):
            for a, b in itertools.pairwise(group):
                assert abs(_lightness(colors[a]) - _lightness(colors[b])) > 10, (a, b)
    for a in EXPLAINED[:1]:
        for b in UNEXPLAINED:
            assert abs(_lightness(mail[a]) - _lightness(mail[b])) > 4, (a, b)


def test_what_shares_a_lightness_differs_in_pattern() -> None:
    sheet = (templates_dir() / "page.css").read_text(encoding="utf-8")

    patterned = set(re.findall(r"\.a-([a-z]+) \{ fill: url\(#p-", sheet))
    assert patterned == {*UNEXPLAINED, "unobserved", "unmatched"}
    plain = [c for c in (*EXPLAINED, *REST, *UNEXPLAINED) if c not in patterned]
    colors = _palette("light")
    for a, b in itertools.combinations(plain, 2):
        assert abs(_lightness(colors[a]) - _lightness(colors[b])) > 6, (a, b)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "muted", "link", "alert", "review", "note", "na", "clear"])
def test_letters_have_the_contrast_that_wcag_asks_for(ink: str, theme: str) -> None:
    colors = _palette(theme)

    for paper in ("paper", "soft"):
        assert _contrast(colors[ink], colors[paper]) >= 4.5, paper


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_lines_and_marks_stand_out_from_the_paper(theme: str) -> None:
    colors = _palette(theme)

    for name in ("progress", "foreign", "contradiction", "muted"):
        assert _contrast(colors[name], colors["paper"]) >= 3, name
