"""The journal was lost: installed again, all of it can be taken off, and nothing that was there by hand."""

import shutil
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.install.change import Places
from slurm_guard.install.session import prepare, prepare_upgrade
from tests.unit.install.image import asked, install, make_image, tree, uninstall

HOOK = "usr/libexec/slurm-guard/prolog/slurm-guard-prolog"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_image(tmp_path / "image")
    (root / "etc/slurm-guard/slurm-guard-hooks.conf").unlink()
    return root


def lose_journal(root: Path) -> None:
    shutil.rmtree(root / "var/lib/slurm-guard/install")


@pytest.mark.parametrize("version", ["23.11", "24.11"])
def test_a_lost_journal_is_written_anew_by_installing_again(root: Path, version: str) -> None:
    before = tree(root)
    install(root, version=version)
    lose_journal(root)
    with pytest.raises(GuardError, match="install --apply` writes it anew") as caught:
        raise_hint(root)
    assert caught.value.slug == "install-none"

    ready = install(root, version=version)
    assert any("journal is gone" in note for note in ready.plan.notes)
    assert uninstall(root) == []

    assert tree(root) == before
    assert not (root / "usr/libexec/slurm-guard").exists()


def raise_hint(root: Path) -> None:
    try:
        uninstall(root)
    except GuardError as error:
        raise GuardError(error.slug, error.hint) from None


def test_a_line_that_somebody_changed_since_then_stays(root: Path) -> None:
    install(root)
    lose_journal(root)
    conf = root / "etc/slurm/slurm.conf"
    conf.write_bytes(conf.read_bytes().replace(b"ClusterName=a", b"ClusterName=z"))
    install(root)

    assert uninstall(root) == []

    assert conf.read_bytes().startswith(b"ClusterName=z\r\n")
    assert b"slurm-guard" not in conf.read_bytes()


def test_a_node_does_not_adopt_a_slurm_conf_that_others_keep(root: Path) -> None:
    install(root)
    lose_journal(root)
    conf = (root / "etc/slurm/slurm.conf").read_bytes()
    words = asked(root, "node")

    ready = prepare(type(words)("node", words.places, None, "23.11"))

    assert [entry.path for entry in ready.adopted if entry.edit] == []
    assert Path("/") / HOOK in [entry.path for entry in ready.adopted]
    assert (root / "etc/slurm/slurm.conf").read_bytes() == conf


def test_hooks_that_were_put_there_by_hand_are_nobodys_but_the_sites(root: Path, tmp_path: Path) -> None:
    other = make_image(tmp_path / "other")
    install(other)
    (root / HOOK).parent.mkdir(parents=True)
    shutil.copy(other / HOOK, root / HOOK)
    before = tree(root)

    install(root)
    uninstall(root)

    assert tree(root) == before


def test_the_way_out_of_a_damaged_journal_that_is_named_leads_out(root: Path) -> None:
    before = tree(root)
    install(root)
    journal = root / "var/lib/slurm-guard/install/journal.json"
    journal.write_bytes(journal.read_bytes()[:100])
    with pytest.raises(GuardError, match="install-journal") as caught:
        uninstall(root)
    assert f"`rm {journal}`, then `slurm-guard install --apply`" in caught.value.hint

    journal.unlink()
    install(root)

    assert uninstall(root) == []
    assert tree(root) == before


def test_of_a_later_format_the_later_release_is_named(root: Path) -> None:
    install(root)
    journal = root / "var/lib/slurm-guard/install/journal.json"
    journal.write_text(journal.read_text().replace('"format": 1', '"format": 2'))

    with pytest.raises(GuardError, match="format 2") as caught:
        uninstall(root)

    assert "later release" in caught.value.hint
    assert "`rm" not in caught.value.hint


def test_an_upgrade_in_a_half_done_uninstall_names_how_to_end_that(root: Path) -> None:
    install(root)
    journal = root / "var/lib/slurm-guard/install/journal.json"
    journal.write_text(journal.read_text().replace('"status": "applied"', '"status": "undoing"'))

    with pytest.raises(GuardError, match="install-half-undone") as caught:
        prepare_upgrade(Places(None, root))

    assert "slurm-guard uninstall --apply" in caught.value.hint
