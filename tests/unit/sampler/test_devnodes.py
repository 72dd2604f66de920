"""Which device files a process has open: by names that users may choose, and mounts that they may make."""

import os
from pathlib import Path

import pytest

from slurm_guard.clock import FakeClock
from slurm_guard.sampler.devnodes import MOST_FDS, MOST_MAPS, DeviceFiles, folders_of
from slurm_guard.sampler.procfs import Proc
from tests.unit.sampler.fakes import FakeProc

DEV = "24 30 0:5 / /dev rw,nosuid - devtmpfs udev rw"
HOME = "25 30 8:1 / /home rw - ext4 /dev/sda1 rw"
FUSE = "26 30 0:50 / /home/u/dev rw - fuse.sshfs host: rw"
TMPFS = "27 30 0:51 / /dev rw - tmpfs tmpfs rw"


def _proc(*links: tuple[str, str], mounts: tuple[str, ...] = (DEV,), space: str = "mnt:[1]") -> FakeProc:
    """Process 50 with these (text, mount id) open."""
    proc = FakeProc(FakeClock())
    proc.start(50, 1000)
    proc.link_texts["self/ns/mnt"] = "mnt:[1]"
    proc.link_texts["50/ns/mnt"] = space
    proc.files["50/mountinfo"] = "\n".join(mounts) + "\n"
    for n, (text, mount) in enumerate(links):
        proc.link_texts[f"50/fd/{n}"] = text
        proc.files[f"50/fdinfo/{n}"] = f"pos:\t0\nflags:\t0100002\nmnt_id:\t{mount}\nino:\t7\n"
    return proc


def test_a_cuda_process_shows_its_gpus_and_uvm() -> None:
    proc = _proc(
        ("/dev/nvidiactl", "24"), ("/dev/nvidia-uvm", "24"), ("/dev/nvidia0", "24"), ("/dev/nvidia3", "24"),
        ("/dev/nvidia0", "24"), ("socket:[7]", "9"), ("/home/u/nvidia.log", "25"),
    )  # fmt: skip

    found = DeviceFiles(proc).look(50)

    assert found is not None
    assert (found.minors, found.uvm, found.any, found.whole, found.n) == (
        frozenset({0, 3}),
        True,
        True,
        True,
        7,
    )


def test_what_only_reads_nvml_has_no_uvm() -> None:
    found = DeviceFiles(_proc(("/dev/nvidiactl", "24"), ("/dev/nvidia1", "24"))).look(50)

    assert found is not None
    assert (found.minors, found.uvm) == (frozenset({1}), False)


def test_a_file_that_is_only_called_so_is_no_device() -> None:
    proc = _proc(("/home/u/nvidia0", "25"), ("/home/u/dev/nvidia1", "26"), mounts=(DEV, HOME, FUSE))

    found = DeviceFiles(proc).look(50)

    assert found is not None
    assert (found.minors, found.any) == (frozenset(), False)


def test_a_container_has_its_device_files_on_a_tmpfs() -> None:
    found = DeviceFiles(_proc(("/dev/nvidia2", "27"), mounts=(TMPFS,), space="mnt:[9]")).look(50)

    assert found is not None
    assert found.minors == {2}


def test_a_device_file_mounted_under_another_name_is_found_by_what_lies_behind() -> None:
    moved = "40 30 0:5 /nvidia1 /home/u/my\\040file rw - devtmpfs udev rw"
    proc = _proc(("/home/u/my file", "40"), mounts=(DEV, moved), space="mnt:[9]")

    found = DeviceFiles(proc).look(50)

    assert found is not None
    assert found.minors == {1}


def test_a_device_file_mounted_over_another_ones_name_is_what_it_is() -> None:
    swapped = "40 24 0:5 /nvidia3 /dev/nvidia0 rw - devtmpfs udev rw"
    found = DeviceFiles(_proc(("/dev/nvidia0", "40"), mounts=(DEV, swapped), space="mnt:[9]")).look(50)

    assert found is not None
    assert found.minors == {3}


@pytest.mark.parametrize(
    "table", ["", "x\n\n", "1 2 3\n", "a b c d e - -\n", "24 30 0:5 / /dev rw -\n", "\udcff " * 9]
)
def test_a_mount_table_that_is_none_makes_no_device(table: str) -> None:
    proc = _proc(("/dev/nvidia0", "24"))
    proc.files["50/mountinfo"] = table
    proc.files["50/fdinfo/0"] = "mnt_id:\t24\nmnt_id\n"

    found = DeviceFiles(proc).look(50)

    assert found is not None
    assert found.minors == frozenset()


@pytest.mark.parametrize(
    "text", ["/dev/nvidia", "/dev/nvidia-caps/nvidia-cap1", "/dev/nvidia99999", "/dev/nvidia٣", "nvidia0x"]
)
def test_other_names_are_other_files(text: str) -> None:
    found = DeviceFiles(_proc((text, "24"))).look(50)

    assert found is not None
    assert not found.any


def test_a_folder_that_the_site_names_needs_no_devtmpfs() -> None:
    proc = _proc(("/rig/dev/nvidia1", "25"), ("/rig/dev/nvidia-uvm", "25"), mounts=(HOME,))

    found = DeviceFiles(proc, folders_of(["/rig/dev/nvidia[0-3]", "relative"])).look(50)

    assert found is not None
    assert (found.minors, found.uvm) == (frozenset({1}), True)


def test_gone_is_nothing_and_refused_is_unknown() -> None:
    proc = _proc(("/dev/nvidia0", "24"))
    files = DeviceFiles(proc)
    proc.refused.add(50)

    gone = files.look(51)

    assert files.look(50) is None
    assert gone is not None
    assert (gone.minors, gone.whole) == (frozenset(), True)


def test_more_descriptors_than_are_read_leave_the_look_unfinished() -> None:
    proc = _proc(*[("socket:[1]", "9")] * (MOST_FDS + 1))

    found = DeviceFiles(proc).look(50)

    assert found is not None
    assert (found.whole, found.n) == (False, MOST_FDS)


def test_a_mapping_outlives_its_descriptor() -> None:
    proc = _proc()
    line = "7f00-7f01 rw-s 00000000 08:01 {} {}\n"
    proc.files["50/maps"] = line.format(7, "   /usr/lib/libc.so.6") + "7f00-7f01 rw-p 00000000 00:00 0\n"
    files = DeviceFiles(proc)
    assert files.maps_any(50) is False

    proc.files["50/maps"] += line.format(8, "  /dev/nvidiactl")

    assert files.maps_any(50) is True
    assert files.maps_any(51) is None


def _listed(text: str, mount: str, *mounts: str) -> bool | None:
    """Of a process in a namespace of its own with this open: whether a device file hides behind it."""
    proc = _proc((text, mount), mounts=(DEV, HOME, *mounts), space="mnt:[9]")
    proc.files["self/mountinfo"] = (
        "90 1 8:1 / / rw - ext4 /dev/sda1 rw\n91 90 0:5 / /dev rw - devtmpfs udev rw\n"
    )
    return DeviceFiles(proc).hides_any(50)


@pytest.mark.parametrize(
    ("text", "mount", "hides"),
    [
        ("/home/u/out", "25", False),
        ("socket:[7]", "9", False),
        ("/home/u/slurm-1.out", "90", False),  # the step daemon opened it
        ("/home/u/x", "40", True),
        ("/", "65", None),
        ("/", "25", None),
        ("", "65", None),
        ("/y", "65", None),  # detached with a tree around it
        ("/memfd:a (deleted)", "65", None),  # a file may be called so
        ("/nvidia0", "91", None),
    ],
)
def test_only_what_lies_on_a_known_mount_is_surely_no_device(
    text: str, mount: str, hides: bool | None
) -> None:
    assert _listed(text, mount, "40 30 0:5 /nvidia1 /home/u/x rw - devtmpfs udev rw") is hides


def test_descriptors_that_could_not_all_be_read_tell_nothing() -> None:
    proc = _proc(*[("socket:[1]", "9")] * (MOST_FDS + 1))
    assert DeviceFiles(proc).hides_any(50) is None
    proc.refused.add(50)
    assert DeviceFiles(proc).hides_any(50) is None


@pytest.mark.parametrize(
    ("mapping", "maps"),
    [
        ("rw-s 00000000 00:05 7 /", None),
        ("rw-p 00000000 00:05 7 / (deleted)", None),
        ("rw-s 00000000 00:05 7 /y", None),  # devtmpfs lies at /dev
        ("rw-p 00000000 00:05 7 /y", None),
        ("rw-s 00000000 00:05 7 /dev/dri/card0", False),
        ("rw-s 00000000 00:66 7 /y", None),  # on no mount that is known
        ("r--p 00000000 00:66 7 /usr/lib/libc.so.6", False),
        ("rw-s 00000000 08:01 7 /home/u/data", False),
        ("rw-p 00000000 00:00 0 [heap]", False),
    ],
)
def test_a_mapping_whose_mount_was_detached_is_not_told(mapping: str, maps: bool | None) -> None:
    proc = _proc(space="mnt:[9]")
    proc.files["50/maps"] = f"7f00-7f01 {mapping}\n"

    assert DeviceFiles(proc).maps_any(50) is maps


def test_mappings_without_a_mount_table_or_too_many_tell_nothing() -> None:
    proc = _proc(space="mnt:[9]")
    proc.files["50/maps"] = "7f00-7f01 rw-p 00000000 00:00 0 [heap]\n" * (MOST_MAPS // 20)
    assert DeviceFiles(proc).maps_any(50) is None
    proc.files["50/maps"] = ""
    del proc.files["50/mountinfo"]
    assert DeviceFiles(proc).maps_any(50) is None


@pytest.mark.parametrize(("mounts", "real"), [(DEV, True), (TMPFS.replace("27 ", "24 "), False)])
def test_a_file_on_a_tmpfs_shows_nothing_of_the_node(mounts: str, real: bool) -> None:
    found = DeviceFiles(_proc(("/dev/nvidia0", "24"), mounts=(mounts,))).look(50)

    assert found is not None
    assert (found.minors, found.real) == (frozenset({0}), real)


def test_memory_without_a_name_is_the_kernels_own() -> None:
    files = DeviceFiles(Proc())
    memory = os.memfd_create("a")
    try:
        text = str(Path(f"/proc/self/fd/{memory}").readlink())
        assert files._is_device(os.getpid(), str(memory), text) is False
    finally:
        os.close(memory)


def test_the_kernels_own_tables_read_alike(tmp_path: Path) -> None:
    node = tmp_path / "nvidia5"
    node.touch()
    fd = os.open(node, os.O_PATH)
    try:
        found = DeviceFiles(Proc(), frozenset({str(tmp_path)})).look(os.getpid())
        plain = DeviceFiles(Proc()).look(os.getpid())
    finally:
        os.close(fd)

    assert found is not None
    assert 5 in found.minors
    assert DeviceFiles(Proc()).maps_any(os.getpid()) is False
    # A temporary folder may be a tmpfs: then the name counts there too.
    assert plain is not None
    assert plain.minors <= found.minors
