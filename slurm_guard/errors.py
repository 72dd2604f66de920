"""The one base error: a slug that the docs explain, a sentence, and a hint."""

EXIT_DONE = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_NOTHING_TO_AUDIT = 3
EXIT_FINDINGS = 10  # only with --exit-code

# Modules that the package slurm-guard-node leaves to the head node's.
HEAD_ONLY = frozenset({"polars", "jinja2", "css_inline"})


class GuardError(Exception):
    """An expected failure: printed as `slug: sentence` and `hint: …`, never as a traceback.

    `slug` has an entry in docs/errors.md; `exit_code` is one of the EXIT_ constants.
    """

    def __init__(self, slug: str, sentence: str, hint: str = "", exit_code: int = EXIT_FAILURE) -> None:
        super().__init__(f"{slug}: {sentence}")
        self.slug = slug
        self.sentence = sentence
        self.hint = hint
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[type["GuardError"], tuple[str, str, str, int]]:
        """It comes whole out of another process."""
        return GuardError, (self.slug, self.sentence, self.hint, self.exit_code)
