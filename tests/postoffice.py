"""Debian's Postfix as a site's mail server, in a folder of its own: STARTTLS, TLS, logins, maildirs."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.postal import PASSWORD, USER, free_port, make_certificate

READERS = ("ops", "ann")  # of example.org; nobody else has a mailbox
_NOBODY = 65534
# Debian package by what it brings
_PROGRAMS = {"postfix": "postfix", "saslpasswd2": "sasl2-bin", "openssl": "openssl", "perl": "perl"}
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class PostOffice:
    """A running server. `ca_file`: what its certificate is checked with."""

    folder: Path
    starttls_port: int
    tls_port: int
    ca_file: Path

    def letters(self, reader: str, n: int, wait_s: float = 20.0, settle_s: float = 0.5) -> list[Path]:
        """The first `n` letters of a maildir, and those that come `settle_s` later: one too many."""
        new = self.folder / "mail" / reader / "new"
        until_s = time.monotonic() + wait_s
        while time.monotonic() < until_s and (not new.is_dir() or len(list(new.iterdir())) < n):
            time.sleep(0.1)
        time.sleep(settle_s)
        return sorted(new.iterdir(), key=lambda path: path.stat().st_mtime_ns) if new.is_dir() else []


def missing() -> list[str]:
    """Debian packages that this machine lacks for it."""
    lacking = {package for name, package in _PROGRAMS.items() if shutil.which(name, path=_PATH) is None}
    parser = subprocess.run(["perl", "-MMIME::Parser", "-e", "1"], capture_output=True, check=False)
    lacking |= {"libmime-tools-perl"} if parser.returncode != 0 else set()
    lacking |= set() if Path("/etc/sasldb2").exists() else {"sasl2-bin"}
    lacking |= set() if list(Path("/usr/lib").glob("*/sasl2/libplain.so")) else {"libsasl2-modules"}
    return sorted(lacking)


@contextlib.contextmanager
def open_office() -> Iterator[PostOffice]:
    """Start it and end it; its log is printed where it does not come up."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-guard-post.", dir="/var/tmp"))
    folder.chmod(0o755)  # its processes are an ordinary user's
    office = PostOffice(folder, free_port(), free_port(), make_certificate(folder)[0])
    _configure(office)
    command = ["postfix", "-c", str(folder / "etc")]
    # Cyrus SASL looks for its database of logins in one place; in a namespace of its own that is ours.
    mine = f"mount --bind {folder}/sasldb2 /etc/sasldb2 && exec postfix -c {folder}/etc start-fg"
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", mine], env=_env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as child:
        try:
            _wait(office, child)
            yield office
        finally:
            subprocess.run([*command, "stop"], env=_env(), capture_output=True, check=False)
            try:
                child.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                child.kill()
            shutil.rmtree(folder, ignore_errors=True)


def _env() -> dict[str, str]:
    return {"PATH": _PATH, "LC_ALL": "C"}


def _wait(office: PostOffice, child: "subprocess.Popen[bytes]") -> None:
    import socket

    for _ in range(200):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", office.starttls_port), 1).close()
            return
        if child.poll() is not None:
            break
        time.sleep(0.1)
    log = office.folder / "log"
    raise RuntimeError(f"Postfix did not come up: {log.read_text() if log.exists() else 'no word'}")


def _configure(office: PostOffice) -> None:
    folder = office.folder
    for name in ("etc", "queue", "data", "mail"):
        (folder / name).mkdir(mode=0o755)
    shutil.chown(folder / "data", "postfix")
    os.chown(folder / "mail", _NOBODY, _NOBODY)
    (folder / "etc" / "main.cf").write_text(_main(office))
    (folder / "etc" / "master.cf").write_text(_master(office))
    database = folder / "sasldb2"
    subprocess.run(
        ["saslpasswd2", "-p", "-c", "-f", str(database), "-u", "localhost", USER],
        input=PASSWORD.encode(), check=True, capture_output=True, env=_env(),
    )  # fmt: skip
    shutil.chown(database, "postfix")


def _main(office: PostOffice) -> str:
    folder = office.folder
    boxes = ", ".join(f"{{{name}@example.org={name}/}}" for name in READERS)
    settings = {
        "compatibility_level": "3.6",
        "queue_directory": f"{folder}/queue",
        "data_directory": f"{folder}/data",
        "maillog_file": f"{folder}/log",
        "maillog_file_prefixes": str(folder),
        "myhostname": "localhost",
        "mydestination": "",
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "alias_maps": "",
        "smtpd_tls_cert_file": str(office.ca_file),
        "smtpd_tls_key_file": str(office.ca_file.with_suffix(".key")),
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_auth_only": "yes",
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_type": "cyrus",
        "smtpd_sasl_local_domain": "localhost",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
        "smtpd_recipient_restrictions": "reject_unlisted_recipient, permit_sasl_authenticated, reject",
        "virtual_mailbox_domains": "example.org",
        "virtual_mailbox_base": f"{folder}/mail",
        "virtual_mailbox_maps": f"inline:{{{boxes}}}",
        "virtual_minimum_uid": "1",
        "virtual_uid_maps": f"static:{_NOBODY}",
        "virtual_gid_maps": f"static:{_NOBODY}",
        "message_size_limit": "10240000",
    }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())


def _master(office: PostOffice) -> str:
    """No chroot anywhere: the libraries and the database of logins lie outside of it."""
    lines = [
        f"127.0.0.1:{office.starttls_port} inet n - n - - smtpd",
        f"127.0.0.1:{office.tls_port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes",
        "pickup unix n - n 60 1 pickup",
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "tlsmgr unix - - n 1000? 1 tlsmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "proxymap unix - - n - - proxymap",
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "virtual unix - n n - - virtual",
        "anvil unix - - n - 1 anvil",
        "postlog unix-dgram n - n - 1 postlogd",
    ]
    return "\n".join(lines) + "\n"
