"""What is run beside the files: accounts and folders, only where they are not as they are to be."""

from pathlib import Path

from slurm_guard.install import facts as gathered
from slurm_guard.install.change import Places
from slurm_guard.install.facts import Facts
from slurm_guard.install.files import this_installation
from slurm_guard.install.plan import make_plan

AUDITOR = "slurm-guard-audit"
FOLDERS = {
    "spool": ("root", "slurm-guard", 0o2750),
    "lake": (AUDITOR, AUDITOR, 0o750),
    "reports": (AUDITOR, AUDITOR, 0o750),
}


def actions(
    folders: dict[str, tuple[str, str, int]], accounts: frozenset[str], role: str = "all"
) -> list[str]:
    facts = Facts(
        Places(), role, this_installation(), (23, 11), None, "none", False, accounts=accounts, folders=folders
    )
    return [" ".join(action.argv) for action in make_plan(facts).actions]


def test_nothing_is_run_where_all_is_there() -> None:
    assert actions(FOLDERS, frozenset({"slurm-guard", AUDITOR})) == []


def test_a_folder_that_is_missing_or_another_is_made_and_no_other() -> None:
    others = {"spool": ("root", "root", 0o2750), "lake": FOLDERS["lake"]}

    assert actions(others, frozenset({"slurm-guard", AUDITOR})) == [
        "install -d -o root -g slurm-guard -m 2750 /var/lib/slurm-guard/spool",
        f"install -d -o {AUDITOR} -g {AUDITOR} -m 750 /var/lib/slurm-guard/reports",
    ]


def test_a_bare_machine_gets_accounts_and_folders() -> None:
    assert [words.split()[0] for words in actions({}, frozenset())] == [
        "groupadd", "install", "useradd", "install", "install"
    ]  # fmt: skip


def test_folders_are_looked_at_where_they_lie(tmp_path: Path) -> None:
    lake = tmp_path / "var/lib/slurm-guard/lake"
    lake.mkdir(parents=True)
    lake.chmod(0o2700)

    found = gathered._folders(Places(None, tmp_path))

    assert found == {"lake": (lake.owner(), lake.group(), 0o2700)}
