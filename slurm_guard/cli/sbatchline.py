"""Words of an #SBATCH line, quoted and split as sbatch does it (get_argument in src/sbatch/opt.c)."""

import re
import shlex


def quote_word(text: str) -> str:
    """So that sbatch reads the text: a backslash counts inside of quotes too."""
    if shlex.quote(text) == text:
        return text
    return "'" + re.sub(r"([\\'])", r"\\\1", text) + "'"


def split_words(line: str) -> list[str]:
    """The words up to a `#` outside of quotes; a quote that does not end (sbatch refuses it) ends there."""
    words: list[str] = []
    word: list[str] | None = None
    quote, escaped = "", False
    for char in line:
        if not (quote or escaped) and char.isspace():
            words += [] if word is None else ["".join(word)]
            word = None
            continue
        word = [] if word is None else word
        if escaped:
            word.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
            word += [] if not quote else [char]
        elif char in "\"'":
            quote = char
        elif char == "#":
            break
        else:
            word.append(char)
    return words + (["".join(word)] if word else [])
