"""Where exports go: whole or absent, whatever happens, with hashes that ``sha256sum`` accepts."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from pareto.errors import ParetoError
from pareto.export.place import SUMS, check_sums, placed


def make(out: Path, text: str = "one", overwrite: bool = False) -> None:
    with placed(out, overwrite=overwrite) as made:
        (made / "sub").mkdir()
        (made / "pareto.json").write_text("{}")
        (made / "sub" / "naïve name.txt").write_text(text)


def test_sha256sum_accepts_the_list_and_finds_what_changed(tmp_path: Path) -> None:
    make(tmp_path / "out")
    listed = ["sha256sum", "--check", "--strict", "--quiet", SUMS]
    assert subprocess.run(listed, cwd=tmp_path / "out", check=False).returncode == 0
    assert check_sums(tmp_path / "out") == []
    (tmp_path / "out" / "sub" / "naïve name.txt").write_text("two")
    assert subprocess.run(listed, cwd=tmp_path / "out", capture_output=True, check=False).returncode == 1
    assert check_sums(tmp_path / "out") == [
        "sub/naïve name.txt is not the file that was exported (its SHA-256 differs)"
    ]
    (tmp_path / "out" / "pareto.json").unlink()
    assert check_sums(tmp_path / "out")[0] == "pareto.json is missing"


@pytest.mark.parametrize("line", ["not a hash", "0" * 64 + "  ../elsewhere", "0" * 64 + "  /etc/passwd"])
def test_a_list_that_is_none_is_refused(tmp_path: Path, line: str) -> None:
    make(tmp_path / "out")
    (tmp_path / "out" / SUMS).write_text(line + "\n")
    with pytest.raises(ParetoError, match=r"SHA256SUMS:1: damaged, not a hash and the name of a file here"):
        check_sums(tmp_path / "out")
    with pytest.raises(ParetoError, match=r"not an export of pareto \(no SHA256SUMS\)"):
        check_sums(tmp_path)


def test_a_list_that_leaves_out_a_file_is_told(tmp_path: Path) -> None:
    make(tmp_path / "out")
    sums = tmp_path / "out" / SUMS
    whole = sums.read_text()
    sums.write_text("".join(line for line in whole.splitlines(keepends=True) if "naïve" not in line))
    assert check_sums(tmp_path / "out") == ["sub/naïve name.txt is not listed in SHA256SUMS"]
    sums.write_text(whole)
    (tmp_path / "out" / "sub" / "added.py").write_text("")
    assert check_sums(tmp_path / "out") == ["sub/added.py is not listed in SHA256SUMS"]
    for nothing in ("", "\n"):
        sums.write_text(nothing)
        with pytest.raises(ParetoError, match="SHA256SUMS"):
            check_sums(tmp_path / "out")


def test_a_full_disk_leaves_the_earlier_export_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path / "out")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        patch.object(Path, "chmod", side_effect=full),  # the last thing but the hashes
        pytest.raises(ParetoError, match="disk is full"),
    ):
        make(tmp_path / "out", "two", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert check_sums(tmp_path / "out") == []


def test_a_killed_export_leaves_the_earlier_one_and_does_not_hinder_the_next(tmp_path: Path) -> None:
    make(tmp_path / "out")
    code = (
        "import sys, time; from pathlib import Path; from pareto.export.place import placed\n"
        "with placed(Path(sys.argv[1]), overwrite=True) as made:\n"
        "    (made / 'half').write_text('half'); print('now', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "out"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"now\n"
        process.kill()
    assert check_sums(tmp_path / "out") == []
    assert not (tmp_path / "out" / "half").exists()
    make(tmp_path / "out", "three", overwrite=True)
    assert (tmp_path / "out" / "sub" / "naïve name.txt").read_text() == "three"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_another_process_is_writing_stays_and_so_does_what_is_no_export_of_here(tmp_path: Path) -> None:
    host, dead = socket.gethostname(), subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = [f".out[1].tmp-{host}-{dead.pid}-00000000", f".out[1].new.tmp-{host}-{dead.pid}-00000001"]
    stays = [
        f".out[1].new.tmp-{host}-{os.getpid()}-00000002",
        f".out[1].new.tmp-{host}x-{dead.pid}-00000003",
        f".out1.new.tmp-{host}-{dead.pid}-00000004",
        f".other.new.tmp-{host}-{dead.pid}-00000005",
    ]
    for name in gone + stays:
        (tmp_path / name).mkdir()
    make(tmp_path / "out[1]")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*stays, "out[1]"])


def test_what_an_interrupted_swap_left_goes_with_the_next_export(tmp_path: Path) -> None:
    make(tmp_path / "out.new")  # as a kill between the old one's end and the renaming leaves it
    make(tmp_path / "out", "two")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_everybody_may_read_an_export(tmp_path: Path) -> None:
    with placed(tmp_path / "out", overwrite=False) as made:
        (made / "private").touch(mode=0o600)
    assert all(p.stat().st_mode & 0o444 == 0o444 for p in (tmp_path / "out").iterdir())
