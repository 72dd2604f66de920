"""The machine's own `sendmail` as the transport: for sites whose head node already knows where mail goes."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable

from slurm_guard.report.letter import Letter
from slurm_guard.report.safe import clean
from slurm_guard.report.transport import Fate, Outcome

PROGRAM = "mail-sendmail"  # slug of what is not about one reader
_NO_READER = (os.EX_DATAERR, os.EX_NOUSER, os.EX_NOHOST)  # sysexits.h: final
_LAST_WORDS_S = 5.0  # for what was killed to be gone; judgement


class SendmailTransport:
    """`sendmail -i -f SENDER -- READER`, as Postfix, Exim, OpenSMTPD and msmtp have it."""

    def __init__(self, program: str, timeout_s: float) -> None:
        self._program, self._timeout_s = program, timeout_s

    def send(self, letter: Letter, before_handover: Callable[[], None]) -> Outcome:
        """See Transport. Whether it was taken is not known while the program runs."""
        command = [self._program, "-i", "-f", letter.envelope.sender, "--", letter.envelope.to]
        # A file and no pipe: were we killed in the middle of writing, half a letter would be sent.
        with tempfile.TemporaryFile() as content:
            content.write(letter.content.replace(b"\r\n", b"\n"))  # the local convention
            content.seek(0)
            before_handover()
            try:
                child = subprocess.Popen(
                    command, stdin=content, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    start_new_session=True,
                )  # fmt: skip
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or str(error)
                return Outcome(
                    Fate.DEFERRED, f"{self._program} cannot be started: {clean(why, 120)}", PROGRAM
                )
            with child:
                return self._wait(child)

    def _wait(self, child: "subprocess.Popen[bytes]") -> Outcome:
        try:
            out, _ = child.communicate(timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            _kill(child)
            said = f"{self._program} did not end within {self._timeout_s:g} s"
            return Outcome(Fate.UNCLEAR, said, PROGRAM)
        except BaseException:
            _kill(child)
            raise
        said = clean(" ".join(out[:2000].decode("utf-8", "replace").split()), 160)
        code = child.returncode
        if code == 0:
            return Outcome(Fate.SENT, said or "taken by sendmail")
        if code < 0:
            return Outcome(Fate.UNCLEAR, f"{self._program} was ended by signal {-code}", PROGRAM)
        detail = f"{self._program} ended with {code}: {said or 'no word'}"
        if code in _NO_READER:
            return Outcome(Fate.REFUSED, detail)
        return Outcome(Fate.DEFERRED, detail, PROGRAM)


def _kill(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.communicate(timeout=_LAST_WORDS_S)
