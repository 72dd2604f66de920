"""Command lines without their secrets: values of secret names, credentials in URLs, known token shapes."""

from slurm_guard.sampler.patterns import pattern

MASK = "[redacted]"
_NAME = (
    r"[\w.-]{0,64}(?:password|passwd|passphrase|token|secret|api[_-]?key|access[_-]?key|auth|authorization|"
    r"credentials?|private[_-]?key|client[_-]?key|cookie|session[_-]?id)(?![a-zA-Z])[\w.-]{0,64}"
)
# bounded repeats throughout: a command line is hostile text, and these run in the sampler's own process
_VALUES = (
    pattern(r"(?i)(?P<keep>\bauthorization:\s{0,4}(?:(?:bearer|basic|token)\s{1,4})?)(?P<hide>\S{1,4096})"),
    pattern(r"(?i)(?P<keep>\bbearer\s{1,4})(?P<hide>\S{1,4096})"),
    pattern(
        rf"(?i)(?P<keep>(?:^|[\s;&?,{{(\"'])-{{0,2}}{_NAME}[\"']?\s?[=:]\s?[\"']?)(?P<hide>[^\s&;,\"']{{1,4096}})"
    ),
    pattern(rf"(?i)(?P<keep>(?:^|\s)--?{_NAME}\s{{1,4}})(?P<hide>(?!-)\S{{1,4096}})"),
    pattern(r"(?P<keep>\b[a-zA-Z][a-zA-Z0-9+.-]{0,20}://)(?P<hide>[^\s/@]{1,512})(?=@)"),
    pattern(r"(?P<keep>(?:^|\s)(?:-u|--user|-U)\s{0,1}=?)(?P<hide>[^\s:]{1,128}:\S{1,512})"),
)
_SHAPES = pattern(
    r"\b(?:hf_[A-Za-z0-9]{16,200}|gh[pousr]_[A-Za-z0-9]{20,200}|github_pat_\w{20,200}|glpat-[\w-]{16,200}|"
    r"sk-[A-Za-z0-9_-]{16,200}|xox[abprs]-[\w-]{10,200}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,60}|"
    r"eyJ[\w-]{10,2000}\.[\w-]{10,2000}\.[\w-]{0,2000}|[0-9a-f]{40}|[0-9a-f]{64})\b"
)


def redact(text: str) -> str:
    """The text with secrets replaced by `[redacted]`; names stay, so that a reader sees what was there."""
    for shape in _VALUES:
        text = shape.sub(lambda found: found["keep"] + MASK, text)
    return _SHAPES.sub(MASK, text)
