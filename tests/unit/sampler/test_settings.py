"""What the sampler's child reads of the configuration is what everybody else reads of it."""

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slurm_guard.config import Config, load_config, to_toml
from slurm_guard.errors import GuardError
from slurm_guard.sampler import settings


def _plain(value: Any) -> Any:
    return {k: _plain(v) for k, v in vars(value).items()} if isinstance(value, SimpleNamespace) else value


def test_every_value_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "guard.toml"
    text = to_toml(Config()).replace("sample_interval_s = 1.0", "sample_interval_s = 0.25")
    window = '[[maintenance]]\nnodes = "n1"\nsince = "2026-09-22"\nuntil = "2026-09-23"\nreason = "x"\n'
    path.write_text(text.replace("gres_devices = []", 'gres_devices = ["/dev/nvidia\u00fc"]') + window)

    found = settings.load(str(path))

    # … but for windows of maintenance, in which a node watches as ever.
    assert _plain(found) == {k: v for k, v in asdict(load_config(path)).items() if k != "maintenance"}
    assert (found.node.sample_interval_s, found.node.gres_devices) == (0.25, ["/dev/nvidia\u00fc"])


def test_what_another_release_knows_is_passed_over_where_a_list_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "guard.toml"
    path.write_text("[node]\nwindow_s = 30\nnext_key = 1\n[next_table]\nx = 2\n")
    left_out: list[str] = []

    found = settings.load(str(path), left_out)

    assert (found.node.window_s, left_out) == (30.0, ["node.next_key", "next_table"])
    assert not hasattr(found, "left_out")


@pytest.mark.parametrize("text", ["[node]\nwrong = 1\n", "[node", None])
def test_what_is_wrong_is_said_in_the_same_words(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "guard.toml"
    if text is not None:
        path.write_text(text)

    with pytest.raises(GuardError) as heard:
        settings.load(str(path))
    with pytest.raises(GuardError) as said:
        load_config(path)

    assert str(heard.value) == str(said.value)
    assert vars(heard.value) == vars(said.value)
