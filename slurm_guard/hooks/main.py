"""Entry of the hooks: `python -IS main.py prolog|epilog name=value…`, started by the shims."""

import sys

# With -I nothing but the standard library is on the path, and no directory that a user could have chosen.
_LIB = __file__.rsplit("/", 3)[0]


def main() -> None:
    """Find our package beside this file and hand over to the boundary, which never comes back."""
    sys.path.insert(0, _LIB)
    from slurm_guard.hooks.boundary import run

    run(sys.argv[1:])


if __name__ == "__main__":
    main()
