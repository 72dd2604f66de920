"""Two at once: the second is refused, whenever it comes, and hurts nothing of the first's."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.install import session
from slurm_guard.install.change import Places
from slurm_guard.install.disk import Disk
from slurm_guard.install.journal import Keeper
from slurm_guard.install.lock import held
from tests.unit.install.image import asked, install, make_image, tree, uninstall

STATE = "var/lib/slurm-guard"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_image(tmp_path / "image")


def keeper(root: Path) -> Keeper:
    places = Places(None, root)
    return Keeper(Disk(places), places.journal)


def refused(root: Path) -> str:
    with pytest.raises(GuardError) as caught, held(keeper(root)):
        pass
    return caught.value.slug


@pytest.mark.parametrize("made_since", [None, STATE, f"{STATE}/install", f"{STATE}/install/blobs"])
def test_the_second_is_refused_also_when_the_first_has_just_made_the_folder(
    root: Path, made_since: str | None
) -> None:
    with held(keeper(root)):
        if made_since:
            (root / made_since).mkdir(parents=True)

        assert refused(root) == "install-busy"


def test_after_the_first_the_second_may(root: Path) -> None:
    with held(keeper(root)):
        (root / STATE).mkdir(parents=True)

    with held(keeper(root)):
        pass


def test_another_image_beside_it_is_none_of_its_business(root: Path, tmp_path: Path) -> None:
    with held(keeper(root)), held(keeper(make_image(tmp_path / "other"))):
        pass


def test_a_plan_from_before_the_first_had_ended_is_not_carried_out(root: Path) -> None:
    ready = session.prepare(asked(root))
    install(root, "node")
    before = tree(root)

    with pytest.raises(GuardError) as caught:
        session.carry_out(ready, lambda _: None)

    assert caught.value.slug == "install-busy"
    assert tree(root) == before


def test_two_first_ones_together_leave_one_whole_installation(root: Path, tmp_path: Path) -> None:
    before = tree(root)
    whole = make_image(tmp_path / "whole")
    install(whole)
    both = threading.Barrier(2)
    ready = [session.prepare(asked(root)) for _ in range(2)]
    ended: list[str] = []

    def deed(one: session.Prepared) -> None:
        both.wait()
        try:
            session.carry_out(one, lambda _: None)
            ended.append("done")
        except GuardError as error:
            ended.append(error.slug)

    threads = [threading.Thread(target=deed, args=(one,)) for one in ready]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ended) == ["done", "install-busy"]
    assert set(tree(root)) == set(tree(whole))
    assert uninstall(root) == []
    assert tree(root) == before


def test_a_lock_ends_with_its_process(root: Path) -> None:
    words = f"""import os, pathlib
from tests.unit.install.test_lock import held, keeper
with held(keeper(pathlib.Path({str(root)!r}))):
    os._exit(0)
"""
    checkout = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", words], check=True, cwd=checkout, env={**os.environ})

    with held(keeper(root)):
        pass
