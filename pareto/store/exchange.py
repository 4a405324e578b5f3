"""How artefacts travel between a run's folder here and those of other machines: over a share that all of them reach.

On the share an artefact is one seal, ``seals/NAME.json``, which names its files by their hashes, and the bytes under
these, ``blobs/HASH``. The seal comes last and is made once: who reads it finds all of one version, never a mixture,
however many push at once and whoever dies meanwhile. Bytes are checked on their way in; nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Self

from pareto.errors import ParetoError
from pareto.records import SCHEMA
from pareto.store.cache import NodeCache, cache_root
from pareto.store.files import Taken, discard, fingerprint, folder_ok, sha256_file, staged, to_json, write_bytes
from pareto.store.run import FOLDERS
from pareto.store.share import Share, absolute

CACHE_GB = 50.0
"""10⁹ bytes beyond which a node removes artefacts that it does not use just now, and that are on the share."""


@dataclass(frozen=True)
class _Blob:
    """A file of an artefact."""

    sha256: str
    """64 hex digits: its name among the blobs."""
    size: int
    """Bytes."""


class Exchange:
    """One run's, as one process sees it. Without a share everybody sees the run's folder, and nothing travels."""

    def __init__(
        self, run: Path, share: str | None = None, tag: str = "", *, cache_gb: float = CACHE_GB, on_node: bool = False
    ) -> None:
        """Open it.

        Args:
            run: the run's folder here.
            share: URL of a folder that all machines reach, as fsspec names it (``s3://bucket/prefix``), or a path.
            tag: tells runs of one name apart, such as the hash of the recipe.
            cache_gb: see ``CACHE_GB``.
            on_node: the folder is a worker's, which may lose what is on the share too.

        Raises:
            ParetoError: see ``Share``.
        """
        self.run, self.share, self._tag, self._cache_gb = run, share and absolute(share), tag, cache_gb
        self._there = Share(self.share, _folder(run.name, tag)) if self.share else None
        self._on_node = on_node

    @classmethod
    def on_node(cls, place: Mapping[str, Any]) -> Self:
        """A worker's, from what ``place`` gave; its run's folder is made in the cache of the machine.

        Raises:
            ParetoError: see ``Share``; the cache cannot be written.
        """
        share: str | None = place.get("share")
        if share is None:
            return cls(Path(place["run"]))
        tag = place["tag"]
        key = fingerprint([share, _folder(place["run"], tag)])
        run = cache_root() / "runs" / key / _plain(place["run"])
        try:
            for folder in FOLDERS:
                (run / folder).mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise ParetoError(
                f"{run}: cannot be made: {e.strerror}; point PARETO_CACHE to a folder with room"
            ) from None
        return cls(run, share, tag, cache_gb=place["cache_gb"], on_node=True)

    def place(self, needs: Iterable[str]) -> dict[str, Any]:
        """Plain data for ``on_node``, with the names of the artefacts that a piece of work needs."""
        if self._there is None:
            return {"run": str(self.run), "share": None, "needs": list(needs)}
        told = {"run": self.run.name, "share": self.share, "tag": self._tag, "cache_gb": self._cache_gb}
        return {**told, "needs": list(needs)}

    def has(self, name: str) -> bool:
        """Whether an artefact is whole on the share.

        Args:
            name: in the run's folder: a file, or a folder with a seal.

        Raises:
            ParetoError: the name leads out of the folder; the share cannot be read.
        """
        _plain(name)
        return self._there is not None and self._whole(self._there, name) is not None

    def push(self, names: Iterable[str]) -> None:
        """Bring artefacts to the share. One that is whole there stays as it is: the first commit wins.

        Raises:
            ParetoError: a name leads out of the folder; it is not here, or not whole; the share cannot be written.
        """
        if self._there is None:
            return
        names = [_plain(name) for name in names]
        if self._cache:
            self._cache.use(self.run, names)
        for name in names:
            if self._whole(self._there, name) is None:
                self._push(self._there, name)
        self._used(names)

    def pull(self, names: Iterable[str]) -> None:
        """Bring artefacts here; one that is here as it is there is not fetched again.

        Raises:
            ParetoError: a name leads out of the folder; it is not on the share, or not whole; the share cannot be read;
                this disk is full.
        """
        if self._there is None:
            return
        names = [_plain(name) for name in names]
        if self._cache:
            self._cache.use(self.run, names)
        for name in names:
            self._pull(self._there, name)
        self._used(names)

    @cached_property
    def _cache(self) -> NodeCache | None:
        return NodeCache(cache_root() / "runs", self._cache_gb) if self._on_node else None

    def _used(self, names: Iterable[str]) -> None:
        """These are on the share now, and here: what has long been unused may go."""
        if self._cache:
            for name in names:
                self._cache.mark(self.run, name)
            self._cache.trim()

    def _push(self, there: Share, name: str) -> None:
        path = self.run / name
        if not (path.is_file() or folder_ok(path)):
            raise ParetoError(f"{path}: not here, or not whole: it cannot go to share {there.name}")
        blobs = {}
        for file, relative in _files(path):
            data = file.read_bytes()
            blob = blobs[relative] = _Blob(hashlib.sha256(data).hexdigest(), len(data))
            if there.size(_at(blob)) != blob.size:
                there.write(_at(blob), data)
        sealed = _sealed(name, blobs)
        if not there.create(_seal_at(name), sealed) and self._whole(there, name) is None:
            there.write(_seal_at(name), sealed)

    def _pull(self, there: Share, name: str) -> None:
        path = self.run / name
        blobs = self._whole(there, name)
        if blobs is None:
            raise ParetoError(
                f"share {there.name}: {name} of run '{self.run.name}' is not there, or not whole, as seen from "
                f"{socket.gethostname()}; do all machines see the same folder? see `pareto cluster check`"
            )
        if _equal(path, blobs):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if "" in blobs:
            write_bytes(path, _fetched(there, name, blobs[""]))
        else:
            self._pull_folder(there, name, blobs)

    def _pull_folder(self, there: Share, name: str, blobs: Mapping[str, _Blob]) -> None:
        for last in (False, True):
            try:
                with staged(self.run / name) as temporary:
                    for relative, blob in blobs.items():
                        (temporary / relative).parent.mkdir(parents=True, exist_ok=True)
                        (temporary / relative).write_bytes(_fetched(there, name, blob))
                return
            except Taken:
                if _equal(self.run / name, blobs):  # another process has just fetched it
                    return
                if last:
                    raise
                discard(self.run / name)

    def _whole(self, there: Share, name: str) -> dict[str, _Blob] | None:
        """Its files on the share; ``None`` where it is not there, or a part of it is missing."""
        blobs = _opened(name, there.read(_seal_at(name)))
        if blobs is None or any(there.size(_at(blob)) != blob.size for blob in blobs.values()):
            return None
        return blobs


def _fetched(there: Share, name: str, blob: _Blob) -> bytes:
    for _ in range(2):  # bytes may also be lost on the way
        data = there.read(_at(blob))
        if data is not None and hashlib.sha256(data).hexdigest() == blob.sha256:
            return data
    there.remove(_at(blob))  # so that it counts as absent, and whoever has it pushes it again
    raise ParetoError(
        f"share {there.name}: {name} was damaged there; give the same command again, it is then made anew"
    )


def _sealed(name: str, blobs: Mapping[str, _Blob]) -> bytes:
    files = {relative: [blob.sha256, blob.size] for relative, blob in blobs.items()}
    body = {"schema": SCHEMA, "name": name, "files": files}
    return to_json({**body, "seal": fingerprint(body)}).encode()


def _opened(name: str, sealed: bytes | None) -> dict[str, _Blob] | None:
    """A seal's files by their names in the artefact, ``""`` where it is a file; ``None`` where it is no whole seal."""
    try:
        body = json.loads(sealed or b"")
        seal = body.pop("seal")
        blobs = {_plain(k) if k else "": _Blob(digest, size) for k, (digest, size) in body["files"].items()}
        whole = seal == fingerprint(body) and body["name"] == name and body["schema"] <= SCHEMA
        whole = whole and all(re.fullmatch("[0-9a-f]{64}", blob.sha256) for blob in blobs.values())
    except (ValueError, KeyError, TypeError, AttributeError, ParetoError):
        return None
    return blobs if whole and blobs else None


def _plain(name: str) -> str:
    """A name that stays within its folder."""
    parts = PurePosixPath(name).parts
    odd = not name.isprintable() or any(part.startswith(".") or "\\" in part for part in parts)
    if odd or not parts or "/".join(parts) != name:
        raise ParetoError(f"'{name}': not the name of an artefact; it would leave the run's folder, or be hidden in it")
    return name


def _folder(run: str, tag: str) -> str:
    return _plain(f"{run}-{tag}" if tag else run)


def _at(blob: _Blob) -> str:
    return f"blobs/{blob.sha256}"


def _seal_at(name: str) -> str:
    return f"seals/{name}.json"


def _files(path: Path) -> Iterator[tuple[Path, str]]:
    """Files of an artefact, each with its name in it."""
    if path.is_file():
        yield path, ""
    else:
        yield from ((p, p.relative_to(path).as_posix()) for p in sorted(path.rglob("*")) if p.is_file())


def _equal(path: Path, blobs: Mapping[str, _Blob]) -> bool:
    """Whether an artefact is here as it is on the share."""
    found = {relative: file for file, relative in _files(path)}
    return found.keys() == blobs.keys() and all(
        _hash(file) == blobs[relative].sha256 for relative, file in found.items()
    )


def _hash(path: Path) -> str:
    stat = path.stat()
    return _hash_once(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hash_once(path: Path, inode: int, size: int, written: int) -> str:
    return sha256_file(path)
