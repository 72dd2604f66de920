"""What somebody wrote between our marks, or into a program that invites it, is not lost without a word."""

from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.install.blocks import Edit, foreign_lines, put_in
from slurm_guard.install.change import Places
from slurm_guard.install.removal import prepare_uninstall
from slurm_guard.install.session import carry_out, prepare
from tests.unit.install.image import asked, install, make_image, tree, uninstall

CONF = "etc/slurm/slurm.conf"
EPILOG_CALL = "usr/libexec/slurm-guard/site/epilog"
OURS = b"Epilog=/usr/libexec/slurm-guard/site/epilog"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_image(tmp_path / "image")
    install(root)
    return root


def edit(path: Path, old: bytes, new: bytes) -> None:
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new, 1))


def test_another_value_between_the_marks_is_not_thrown_away(root: Path) -> None:
    edit(root / "etc/slurm/site.conf", OURS, b"Epilog=/etc/site/new.sh")
    before = tree(root)

    with pytest.raises(GuardError, match=r"site\.conf:3 'Epilog=/etc/site/new\.sh' stands between") as caught:
        uninstall(root)

    assert caught.value.slug == "uninstall-changed"
    assert tree(root) == before
    assert "/etc/site/new.sh" in prepare_uninstall(Places(None, root)).waiting


def test_moved_out_of_the_block_it_stays(root: Path) -> None:
    edit(root / CONF, b"PrologFlags=Serial,Alloc", b"PrologFlags=Serial,Alloc\r\nSlurmctldDebug=debug")
    with pytest.raises(GuardError, match="SlurmctldDebug"):
        uninstall(root)
    edit(root / CONF, b"SlurmctldDebug=debug\r\n", b"")
    edit(root / CONF, b"ClusterName=a\r\n", b"ClusterName=a\r\nSlurmctldDebug=debug\r\n")

    assert uninstall(root) == []

    assert (root / CONF).read_bytes().startswith(b"ClusterName=a\r\nSlurmctldDebug=debug\r\nInclude")
    assert b"slurm-guard" not in (root / CONF).read_bytes()


def test_installing_again_over_it_is_refused_before_anything(root: Path) -> None:
    edit(root / "etc/slurm/site.conf", OURS, b"Epilog=/etc/site/new.sh")
    before = tree(root)

    ready = prepare(asked(root))
    with pytest.raises(GuardError, match="nothing was changed"):
        carry_out(ready, lambda _: None)

    assert any("new.sh" in problem.sentence for problem in ready.plan.problems)
    assert tree(root) == before


def test_damaged_marks_are_a_problem_of_the_plan(root: Path) -> None:
    edit(root / CONF, b"# slurm-guard install: end\r\n", b"")
    edit(root / CONF, b"PrologFlags=Serial,Alloc", b"PrologFlags=Serial")

    ready = prepare(asked(root))

    assert ready.plan.problems


def test_another_program_named_in_a_program_of_ours_stays(root: Path) -> None:
    edit(root / EPILOG_CALL, b"exec '/s/epilog'", b"exec '/etc/site/new.sh'")
    text = (root / EPILOG_CALL).read_bytes()

    ready = install(root)

    assert (root / EPILOG_CALL).read_bytes() == text
    assert any("new.sh" in note and "left as it is" in note for note in ready.plan.notes)


def test_a_program_that_slurm_conf_names_not_yet_is_made_from_slurm_conf(root: Path) -> None:
    edit(root / EPILOG_CALL, b"exec '/s/epilog'", b"exec '/etc/site/new.sh'")
    uninstall(root)

    ready = install(root)

    assert b"exec '/s/epilog'" in (root / EPILOG_CALL).read_bytes()
    assert any("site/epilog was changed by somebody: it is replaced" in note for note in ready.plan.notes)


def test_a_hook_that_somebody_changed_is_replaced_and_said(root: Path) -> None:
    hook = root / "usr/libexec/slurm-guard/epilog/slurm-guard-epilog"
    hook.write_text("mine\n")

    ready = install(root)

    assert hook.read_text() != "mine\n"
    assert any(
        "slurm-guard-epilog was changed by somebody: it is replaced" in note for note in ready.plan.notes
    )


@pytest.mark.parametrize("more", [b"", b"#C=4\n", b"# C=4\n", b"\n"])
def test_what_holds_nobodys_words_is_not_foreign(more: bytes) -> None:
    ours = put_in(b"A=1\n", [Edit(0, 0, ("C=4",))], b"\n")

    assert foreign_lines(ours.replace(b"C=4\n", b"C=4\n" + more), ours) == []
    assert foreign_lines(ours.replace(b"C=4", b"C=5"), ours) == [(3, b"C=5")]
