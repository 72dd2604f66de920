"""SHA-256 without `hashlib`, which loads OpenSSL: 4 MB of a process that needs nothing else of it."""

from slurm_guard.light import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        from _sha2 import sha256
    except ImportError:
        try:
            from _sha256 import sha256  # before 3.12
        except ImportError:  # an interpreter built without its own
            from hashlib import sha256

__all__ = ["sha256"]
