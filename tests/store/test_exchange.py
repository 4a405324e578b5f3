from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import fsspec
import greenlet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pareto.errors import ParetoError
from pareto.store.exchange import Exchange
from pareto.store.files import fingerprint, folder, folder_ok, write_json

ADAPTER, TABLE = "adapters/0123456789abcdef", "rollouts/0123456789abcdef.parquet"
UNREADY = "is not there, or not whole"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PARETO_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=["file", "memory"])
def share(request, tmp_path):
    if request.param == "file":
        return f"file://{tmp_path}/share"
    return f"memory://{uuid.uuid4().hex}"


def made(run: Path, content: str = "one") -> Path:
    """A run's folder with an adapter and a table, told apart by what is in them."""
    (run / "adapters").mkdir(parents=True)
    (run / "rollouts").mkdir()
    with folder(run / ADAPTER) as out:
        (out / "adapter_model.safetensors").write_bytes(f"weights {content}".encode() * 100)
        (out / "adapter_config.json").write_text(json.dumps({"of": content}))
    (run / TABLE).write_bytes(f"rows {content}".encode())
    return run


def content(run: Path) -> dict[str, bytes]:
    """Every visible file of a run's folder."""
    found = (p for p in run.rglob("*") if p.is_file())
    return {str(p.relative_to(run)): p.read_bytes() for p in found if ".kept" not in p.parts}


def elsewhere(exchange: Exchange) -> Exchange:
    """A worker's, as it gets there: through plain data."""
    return Exchange.on_node(json.loads(json.dumps(exchange.place([]))))


def stored(share: str, part: str) -> list[str]:
    """Paths on the share, of ``seals`` or ``blobs``."""
    fs, root = fsspec.core.url_to_fs(share)
    return [path for path in fs.find(root) if f"/{part}/" in path]


def test_without_a_share_nothing_travels(tmp_path):
    exchange = Exchange(tmp_path / "run")
    exchange.push([ADAPTER])
    exchange.pull([ADAPTER])
    assert not exchange.has(ADAPTER)
    place = exchange.place([ADAPTER])
    assert place["needs"] == [ADAPTER]
    assert Exchange.on_node(place).run == tmp_path / "run"


def test_artefacts_arrive_as_they_were_sent(tmp_path, share):
    here = Exchange(made(tmp_path / "assistant"), share, "tag")
    assert not here.has(ADAPTER)
    here.push([ADAPTER, TABLE])
    there = elsewhere(here)
    there.pull([TABLE, ADAPTER])
    assert content(there.run) == content(here.run)
    assert folder_ok(there.run / ADAPTER)
    assert here.has(ADAPTER)
    assert there.has(TABLE)
    assert there.run.is_relative_to(tmp_path / "cache")
    assert there.run.name == "assistant"  # the name that the study knows


def test_what_a_worker_made_comes_back(tmp_path, share):
    here = Exchange(tmp_path / "assistant", share)
    there = elsewhere(here)
    shutil.copytree(made(tmp_path / "made"), there.run, dirs_exist_ok=True)
    there.push([ADAPTER])
    here.pull([ADAPTER])
    assert folder_ok(here.run / ADAPTER)


def test_runs_of_one_name_do_not_mix(tmp_path, share):
    old = Exchange(made(tmp_path / "a" / "assistant", "old"), share, "recipe-1")
    new = Exchange(made(tmp_path / "b" / "assistant", "new"), share, "recipe-2")
    old.push([TABLE])
    assert not new.has(TABLE)
    new.push([TABLE])
    for exchange in (old, new):
        worker = elsewhere(exchange)
        worker.pull([TABLE])
        assert (worker.run / TABLE).read_bytes() == (exchange.run / TABLE).read_bytes()


def test_the_first_commit_wins_everywhere(tmp_path, share):
    first = Exchange(made(tmp_path / "a" / "run", "first"), share)
    second = Exchange(made(tmp_path / "b" / "run", "second"), share)
    first.push([ADAPTER, TABLE])
    second.push([ADAPTER, TABLE])
    second.pull([ADAPTER, TABLE])
    assert content(second.run) == content(first.run)


@pytest.mark.parametrize("part", ["seals", "blobs"])
def test_half_written_on_the_share_counts_as_absent_and_is_replaced(tmp_path, share, part):
    here = Exchange(made(tmp_path / "run"), share)
    here.push([ADAPTER])
    fs, _ = fsspec.core.url_to_fs(share)
    for path in stored(share, part):
        fs.pipe_file(path, fs.cat_file(path)[:-3])
    assert not here.has(ADAPTER)
    with pytest.raises(ParetoError, match=UNREADY):
        elsewhere(here).pull([ADAPTER])
    here.push([ADAPTER])
    elsewhere(here).pull([ADAPTER])


def test_changed_bytes_are_found_out_and_make_room_for_the_right_ones(tmp_path, share):
    here = Exchange(made(tmp_path / "run"), share)
    here.push([TABLE])
    fs, _ = fsspec.core.url_to_fs(share)
    (blob,) = stored(share, "blobs")
    fs.pipe_file(blob, b"x" * fs.size(blob))
    there = elsewhere(here)
    with pytest.raises(ParetoError, match="damaged there"):
        there.pull([TABLE])
    assert not (there.run / TABLE).exists()
    assert not here.has(TABLE)
    here.push([TABLE])
    there.pull([TABLE])
    assert content(there.run) == {TABLE: b"rows one"}


def test_a_damaged_copy_is_fetched_anew(tmp_path, share):
    here = Exchange(made(tmp_path / "run"), share)
    here.push([ADAPTER, TABLE])
    there = elsewhere(here)
    there.pull([ADAPTER, TABLE])
    (there.run / ADAPTER / "adapter_config.json").write_text("{}")
    (there.run / TABLE).write_bytes(b"")
    there.pull([ADAPTER, TABLE])
    assert content(there.run) == content(here.run)


def test_a_folder_that_is_not_whole_stays_here(tmp_path, share):
    here = Exchange(made(tmp_path / "run"), share)
    (here.run / ADAPTER / "adapter_config.json").unlink()
    with pytest.raises(ParetoError, match="not here, or not whole"):
        here.push([ADAPTER])
    assert not here.has(ADAPTER)


@pytest.mark.parametrize(
    "name",
    ["../other/run.json", "/etc/passwd", "adapters/../../x", "", ".", "adapters//x", ".kept/x", "a\\..\\b", "a\nb"],
)
def test_names_stay_in_the_folder(tmp_path, share, name):
    exchange = Exchange(tmp_path / "run", share)
    for act in (exchange.has, lambda n: exchange.push([n]), lambda n: exchange.pull([n])):
        with pytest.raises(ParetoError, match="not the name of an artefact"):
            act(name)


def test_a_seal_cannot_write_outside_of_its_folder(tmp_path, share):
    here = Exchange(made(tmp_path / "run"), share)
    here.push([ADAPTER])
    fs, _ = fsspec.core.url_to_fs(share)
    (seal,) = stored(share, "seals")
    body = json.loads(fs.cat_file(seal))
    del body["seal"]
    body["files"]["../../outside"] = next(iter(body["files"].values()))
    fs.pipe_file(seal, json.dumps({**body, "seal": fingerprint(body)}).encode())
    with pytest.raises(ParetoError, match=UNREADY):
        elsewhere(here).pull([ADAPTER])


class Killed(BaseException):
    """Thrown into an actor: its process is gone, and does nothing any more."""


class Torn:
    """A file system that stops before each call, for others to act meanwhile, and where a killed write leaves half."""

    def __init__(self, fs) -> None:
        self._fs, self._dead = fs, False

    def __getattr__(self, name):
        call = getattr(self._fs, name)

        def stopping(*args, **kwargs):
            if self._dead:
                raise Killed
            try:
                greenlet.getcurrent().parent.switch()
            except Killed:
                self._dead = True
                if name == "pipe_file" and kwargs.get("mode") != "create":
                    call(args[0], args[1][: len(args[1]) // 2])
                raise
            return call(*args, **kwargs)

        return stopping if callable(call) else call


@given(data=st.data())
@settings(max_examples=30)
def test_whatever_is_killed_in_whatever_order_nobody_sees_a_part(tmp_path_factory, data):
    """Two that push different bytes under one name and two that pull, stopped at every call to the share."""
    home = tmp_path_factory.mktemp("torn")
    share = data.draw(st.sampled_from([f"file://{home}/share", f"memory://{home.name}-{uuid.uuid4().hex}"]))
    versions = [content(made(home / v / "run", v) / "adapters") for v in ("one", "two")]
    exchanges = [Exchange(home / v / "run", share) for v in ("one", "two", "three", "four")]
    watcher = Exchange(home / "watcher" / "run", share)
    for exchange in exchanges:
        exchange._there.fs = Torn(exchange._there.fs)

    early = []

    def pull(exchange):
        def act():
            try:
                exchange.pull([ADAPTER])
            except ParetoError as e:
                early.append(str(e))

        return act

    acts = [lambda: exchanges[0].push([ADAPTER]), lambda: exchanges[1].push([ADAPTER]), *map(pull, exchanges[2:])]
    actors = [greenlet.greenlet(act) for act in acts]
    committed = None
    while alive := [actor for actor in actors if not actor.dead]:
        actor = data.draw(st.sampled_from(alive))
        if actor and data.draw(st.integers(0, 14)) == 0:
            with pytest.raises(Killed):
                actor.throw(Killed)
        else:
            actor.switch()
        if committed is None and watcher.has(ADAPTER):
            watcher.pull([ADAPTER])
            committed = content(watcher.run / "adapters")
            assert committed in versions
        assert (committed is not None) == watcher.has(ADAPTER)
    assert all(UNREADY in told for told in early)
    for exchange in exchanges[2:]:
        got = content(exchange.run / "adapters")
        assert got in ({}, committed)
    last = Exchange(exchanges[0].run, share)  # whoever comes again finishes it
    last.push([ADAPTER])
    last.pull([ADAPTER])
    assert content(last.run / "adapters") == (committed or versions[0])


PULL = """
import json, sys
from pareto.store.exchange import Exchange
from pareto.store.files import folder_ok
exchange = Exchange.on_node(json.loads(sys.argv[1]))
print(flush=True)
sys.stdin.readline()
exchange.pull([sys.argv[2]])
assert folder_ok(exchange.run / sys.argv[2])
"""


def test_two_processes_fetch_one_artefact_at_once(tmp_path):
    here = Exchange(made(tmp_path / "run"), str(tmp_path / "share"))
    here.push([ADAPTER])
    command = [sys.executable, "-c", PULL, json.dumps(here.place([])), ADAPTER]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        process.stdout.readline()  # it is ready
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in both:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    run = Exchange.on_node(here.place([])).run
    assert [p.name for p in (run / "adapters").iterdir()] == [Path(ADAPTER).name]


def tables(run: Path, n: int) -> list[str]:
    (run / "scores").mkdir(parents=True)
    for i in range(n):
        (run / f"scores/{i}.parquet").write_bytes(bytes([i]) * 1000)
    return [f"scores/{i}.parquet" for i in range(n)]


def test_a_node_keeps_no_more_than_its_bound_and_what_is_in_use(tmp_path, share):
    here = Exchange(tmp_path / "run", share, cache_gb=2e-6)
    names = tables(here.run, 5)
    here.push(names)
    using = elsewhere(here)
    using.pull(names[:1])
    for name in names[1:]:
        elsewhere(here).pull([name])  # each process uses one
    kept = sorted(p.name for p in (using.run / "scores").iterdir())
    assert kept == ["0.parquet", "4.parquet"]  # in use, and the last
    using.pull(names[3:4])
    assert (using.run / names[3]).read_bytes() == bytes([3]) * 1000


def test_what_only_a_node_has_is_never_removed(tmp_path, share):
    here = Exchange(tmp_path / "run", share, cache_gb=0)
    names = tables(here.run, 2)
    here.push(names)
    there = elsewhere(here)
    (there.run / "scores/mine.parquet").write_bytes(b"x" * 9000)
    del there
    for name in names:
        elsewhere(here).pull([name])
    assert (elsewhere(here).run / "scores/mine.parquet").exists()


def test_a_share_that_is_not_there_or_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("no folder")
    here = Exchange(made(tmp_path / "run"), f"file://{tmp_path}/file/below")
    with pytest.raises(ParetoError, match=r"share file://.*: cannot be written: (Not a directory|File exists)$"):
        here.push([TABLE])
    assert not here.has(TABLE)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "cannot be written: its disk is full"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "cannot be written: Read-only file system"),
        (
            PermissionError("Forbidden"),
            "cannot be written: Forbidden; check the credentials and rights of this machine",
        ),
        (FileNotFoundError("no such bucket"), "cannot be written: no such bucket; is the bucket or folder there?"),
        (ConnectionError("no\nroute"), "cannot be written: ConnectionError: no route"),
    ],
)
def test_what_a_share_says_is_one_line_without_its_password(tmp_path, monkeypatch, error, line):
    def refuse(*args, **kwargs):
        raise error

    here = Exchange(made(tmp_path / "run"), "memory://me:secret@host/place")
    monkeypatch.setattr(type(here._there.fs), "pipe_file", refuse)
    with pytest.raises(ParetoError) as told:
        here.push([TABLE])
    assert str(told.value) == f"share memory://host/place: {line}"


@pytest.mark.parametrize(
    ("url", "match"),
    [("nosuch://place", "not the address of a shared folder"), ("s3://bucket", r"pip install 'pareto\[s3\]'")],
)
def test_an_address_that_cannot_be_used(tmp_path, url, match, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ParetoError, match=match):
        Exchange(tmp_path / "run", url)


def test_a_full_disk_of_the_node(tmp_path, share, monkeypatch):
    here = Exchange(made(tmp_path / "run"), share)
    here.push([ADAPTER, TABLE])
    there = elsewhere(here)
    real = os.fsync

    def full(fd):
        if os.fstat(fd).st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(fd)

    monkeypatch.setattr(os, "fsync", full)
    for name in (ADAPTER, TABLE):
        with pytest.raises(ParetoError, match="disk is full"):
            there.pull([name])
    assert content(there.run) == {}


def test_a_path_means_the_same_folder_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = Exchange(tmp_path / "run", "share")
    write_json(_parent(here.run / "run.json"), {"a": 1})
    here.push(["run.json"])
    monkeypatch.chdir("/")
    there = elsewhere(here)
    there.pull(["run.json"])
    assert json.loads((there.run / "run.json").read_text()) == {"a": 1}


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
