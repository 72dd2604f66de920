"""Text from a job made harmless: visible, bounded, on one line. Each string of a document passes here."""

import unicodedata

# Judgement: what fits a line of a card; the JSON document keeps every character.
SHORT = 80
LONG = 600
_MOST_MARKS = 4  # combining marks kept on one base; more is stacking ("zalgo")
_ESCAPED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # controls, bidi and zero-width, surrogates, unassigned
# Marks, letters and a symbol that show nothing: Unicode's Default_Ignorable_Code_Point beyond these
# categories (joiner, Hangul fillers, Khmer inherent vowels, variation selectors), and the blank of Braille.
_UNSEEN = frozenset(
    chr(code)
    for first, last in (
        *((0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2800, 0x2800)),
        *((0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF)),
    )
    for code in range(first, last + 1)
)


def clean(text: str, limit: int = LONG) -> str:
    """`text` with everything that could steer a reader or a terminal shown as a backslash escape.

    At most about `limit` characters; what was cut is counted in the text. Never raises.
    """
    cut = len(text) - limit
    head = text[:limit] if cut > 0 else text
    shown = "".join(_visible(head))
    if len(shown) > limit:  # escapes are longer than what they stand for
        cut, shown = len(text) - limit // 4, "".join(_visible(text[: limit // 4]))[:limit]
    return f"{shown}… (+{cut:,} characters)" if cut > 0 else shown


def clean_or_dash(text: str | None, limit: int = SHORT) -> str:
    """`clean`, and a dash for null and for the empty text."""
    return clean(text, limit) if text is not None and text.strip() else "–"


def shorten(text: str, limit: int) -> str:
    """`clean`, cut between words where there is room for it; an ellipsis says that something was cut."""
    shown = clean(text, limit)
    if len(text) <= limit and len(shown) <= limit:
        return shown
    head = shown.partition("… (+")[0][:limit]
    return (head.rpartition(" ")[0] if head.rfind(" ") > limit // 2 else head).rstrip(" ,;:") + "…"


def _visible(text: str) -> list[str]:
    shown: list[str] = []
    marks = 0
    for char in text:
        kind = unicodedata.category(char)
        if kind in _ESCAPED or char in _UNSEEN:
            shown.append(_escape(char))
            marks = 0
            continue
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if marks <= _MOST_MARKS:
            shown.append(char)
    return shown


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def formula_safe(text: str) -> str:
    """A CSV cell that no spreadsheet takes for a formula: a leading apostrophe where one could start."""
    start = text.lstrip("\u00a0 ")[:1]
    return f"'{text}" if start in tuple("=+-@|%\t\r＝＋－＠") and start else text


def display_width(text: str) -> int:
    """Columns that `text` takes in a terminal: wide characters two, combining marks none."""
    return sum(_columns(char) for char in text)


def fit(text: str, width: int) -> str:
    """`text` cut to `width` columns with an ellipsis, or padded with spaces."""
    if display_width(text) <= width:
        return text + " " * (width - display_width(text))
    kept, used = "", 0
    for char in text:
        if used + _columns(char) > width - 1:
            break
        kept, used = kept + char, used + _columns(char)
    return kept + "…" + " " * (width - 1 - used)


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
