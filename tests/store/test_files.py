from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from pareto.errors import ParetoError
from pareto.store.files import (
    Taken,
    append_line,
    discard,
    fingerprint,
    folder,
    folder_ok,
    read_json,
    sha256_file,
    staged,
    sweep_leftovers,
    write_bytes,
    write_json,
    write_text,
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.fixture
def full_disk(tmp_path, monkeypatch):
    """A folder on a disk of 64 KiB; without the right to mount one, fsync says that the disk is full."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = os.geteuid() == 0 and not subprocess.call(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], stderr=subprocess.DEVNULL
    )
    real = os.fsync

    def fsync(fd):
        if os.fstat(fd).st_size > 50_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(fd)

    if not mounted:
        monkeypatch.setattr(os, "fsync", fsync)
    yield place
    if mounted:
        subprocess.check_call(["umount", place])


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_fingerprint_is_the_start_of_the_sha256_of_canonical_json():
    known = hashlib.sha256(b'{"a":[1,null],"b":"\xc3\xa9"}').hexdigest()[:16]
    assert fingerprint({"b": "é", "a": (1, float("nan"))}) == known


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=5), plain, min_size=2, max_size=4))
def test_fingerprint_does_not_depend_on_the_order_of_keys(tree):
    assert fingerprint(dict(reversed(tree.items()))) == fingerprint(tree)


def test_fingerprint_refuses_what_is_not_plain_data():
    with pytest.raises(TypeError):
        fingerprint({"a": Path("x")})
    with pytest.raises(ValueError, match="JSON"):
        fingerprint([float("inf")])


@settings(max_examples=40)
@given(tree=plain)
def test_json_comes_back_as_written(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("json") / "x.json"
    write_json(path, tree)
    assert read_json(path) == tree


def test_nan_is_null(tmp_path):
    write_json(tmp_path / "x.json", {"a": [float("nan"), np.float64("nan")]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [None, None]}


def test_damaged_json_is_told_with_its_place(tmp_path):
    write_text(tmp_path / "x.json", '{"a": 1,\n oops')
    with pytest.raises(ParetoError, match=r"x\.json:2:2: damaged"):
        read_json(tmp_path / "x.json")
    write_bytes(tmp_path / "x.json", b"\xff\xfe")
    with pytest.raises(ParetoError, match=r"x\.json: damaged"):
        read_json(tmp_path / "x.json")
    with pytest.raises(ParetoError, match="no such file"):
        read_json(tmp_path / "y.json")


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


WRITER = """
import sys
from pareto.store.files import write_bytes
version = 0
while True:
    write_bytes(sys.argv[1], bytes([version % 256]) * (200_000 + version))
    if version == 0:
        print("go", flush=True)
    version += 1
"""


def test_a_killed_writer_leaves_a_whole_file(tmp_path, start):
    moments = random.Random(0)
    path = tmp_path / "x"
    for _ in range(12):
        process = start(WRITER, path)
        process.stdout.readline()
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        data = path.read_bytes()
        version = len(data) - 200_000
        assert data == bytes([version % 256]) * len(data)
    sweep_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["x"]


FOLDER_WRITER = """
import sys
from pathlib import Path
from pareto.store.files import discard, folder
path = Path(sys.argv[1])
version = 0
while True:
    discard(path)
    with folder(path) as place:
        for name in "ab":
            (place / name).write_text(str(version) * 50_000)
    if version == 0:
        print("go", flush=True)
    version += 1
"""


def test_a_killed_maker_leaves_a_whole_folder_or_none(tmp_path, start):
    moments = random.Random(1)
    path = tmp_path / "adapter"
    for _ in range(12):
        process = start(FOLDER_WRITER, path)
        process.stdout.readline()
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if path.exists():
            assert folder_ok(path)
            assert (path / "a").read_bytes() == (path / "b").read_bytes()
    sweep_leftovers(tmp_path)
    assert set(os.listdir(tmp_path)) <= {"adapter"}


def test_a_full_disk_keeps_the_old_file(full_disk):
    write_bytes(full_disk / "x", b"old")
    with pytest.raises(ParetoError, match=r"disk is full: .*/x, 100000 bytes wanted"):
        write_bytes(full_disk / "x", b"n" * 100_000)
    assert (full_disk / "x").read_bytes() == b"old"
    assert os.listdir(full_disk) == ["x"]


@pytest.mark.parametrize(
    ("there", "left"), [(None, "new\n"), ("", "new\n"), ("old\n", "old\nnew\n"), ("to", "to\nnew\n")]
)
def test_a_line_begins_after_one_that_is_torn(tmp_path, there, left):
    if there is not None:
        (tmp_path / "x").write_text(there)
    append_line(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == left


def test_a_line_that_is_cut_short_is_told_and_costs_no_other(tmp_path):
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, unlimited[1]))
    try:
        with pytest.raises(ParetoError, match=r"disk is full: .*/x, 101 bytes wanted"):
            append_line(tmp_path / "x", "n" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    append_line(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "n" * 10 + "\nnew\n"


def test_a_full_disk_leaves_no_half_made_folder(full_disk):
    with (
        pytest.raises(ParetoError, match=r"disk is full: .*/adapter, more than \d+ bytes wanted"),
        folder(full_disk / "adapter") as place,
    ):
        save_file({"w": np.zeros(25_000, np.float32)}, place / "adapter.safetensors")
    assert os.listdir(full_disk) == []


def test_a_failed_replacement_leaves_nothing_behind(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(IsADirectoryError):
        write_bytes(tmp_path / "x", b"")
    assert os.listdir(tmp_path) == ["x"]


def test_a_failed_block_leaves_no_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), folder(tmp_path / "adapter") as place:
        (place / "w").write_text(str(1 / 0))
    assert os.listdir(tmp_path) == []


def damage_missing(path):
    (path / "sub" / "w").unlink()


def damage_truncated(path):
    os.truncate(path / "sub" / "w", 3)


def damage_one_bit(path):
    (path / "sub" / "w").write_text("weighty")


def damage_extra(path):
    (path / "more").write_text("x")


def damage_seal(path):
    (path / "artefact.json").write_text("{")


def damage_seal_shape(path):
    (path / "artefact.json").write_text("[]")


def damage_no_seal(path):
    (path / "artefact.json").unlink()


@pytest.mark.parametrize(
    "damage",
    [damage_missing, damage_truncated, damage_one_bit, damage_extra, damage_seal, damage_seal_shape, damage_no_seal],
)
def test_damage_is_found_and_made_again(tmp_path, damage):
    path = tmp_path / "adapter"

    def make():
        with folder(path) as place:
            (place / "sub").mkdir()
            (place / "sub" / "w").write_text("weights")

    make()
    assert folder_ok(path)
    damage(path)
    assert not folder_ok(path)
    with pytest.raises(Taken, match="not a whole artefact"):
        make()
    discard(path)
    make()
    assert folder_ok(path)
    assert os.listdir(tmp_path) == ["adapter"]


def test_a_folder_under_another_name_is_not_that_artefact(tmp_path):
    with folder(tmp_path / "one") as place:
        (place / "w").write_text("weights")
    (tmp_path / "one").rename(tmp_path / "two")
    assert not folder_ok(tmp_path / "two")
    assert not folder_ok(tmp_path / "one")


def test_the_faster_maker_wins(tmp_path):
    with folder(tmp_path / "adapter") as slow:
        with folder(tmp_path / "adapter") as fast:
            (fast / "w").write_text("fast")
        (slow / "w").write_text("slow")
    assert (tmp_path / "adapter" / "w").read_text() == "fast"
    assert os.listdir(tmp_path) == ["adapter"]


def test_staged_never_replaces_what_is_there(tmp_path):
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(Taken), staged(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").read_text() == "keep"


def test_discard_takes_files_folders_and_nothing(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    for name in ("file", "folder", "missing"):
        discard(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_only_leftovers_of_dead_makers_are_swept(tmp_path):
    host, dead = socket.gethostname(), dead_pid()
    names = {
        f".x.tmp-{host}-{dead}-0123abcd": "gone",
        f".x.tmp-{host}-{os.getpid()}-0123abcd": "stays",
        f".x.tmp-{host}-1-0123abcd": "stays",
        f".x.tmp-elsewhere-{dead}-0123abcd": "stays",
        f"x.tmp-{host}-{dead}-0123abcd": "stays",
        ".hidden": "stays",
    }
    for name in names:
        (tmp_path / "deep" / "files").mkdir(parents=True, exist_ok=True)
        (tmp_path / "deep" / "files" / name).write_text("")
        (tmp_path / "deep" / "folders" / name / "sub").mkdir(parents=True)
    gone = [name for name, fate in names.items() if fate == "gone"]
    removed = sweep_leftovers(tmp_path)
    assert removed == sorted(tmp_path / "deep" / kind / name for kind in ("files", "folders") for name in gone)
    assert set(os.listdir(tmp_path / "deep" / "files")) == set(names) - set(gone)
    assert set(os.listdir(tmp_path / "deep" / "folders")) == set(names) - set(gone)
