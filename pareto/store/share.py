"""A folder that all machines reach by its URL, through fsspec: what is put there is there whole, or not at all.

Object stores put an object in one step. On everything else a file is written under a temporary name and moved.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from pareto.errors import ParetoError

OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}
"""Protocols whose ``pipe_file`` shows an object when all of it is there."""
_PACKAGES = {"s3": "pareto[s3]", "s3a": "pareto[s3]", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}


class Share:
    """One folder of it. Paths are relative, with ``/``."""

    def __init__(self, url: str, folder: str) -> None:
        """Name it; nothing is asked of it yet.

        Args:
            url: as fsspec reads it (``s3://bucket/prefix``), or a path.
            folder: below it.

        Raises:
            ParetoError: nothing is known of such addresses, or a package is missing.
        """
        parts = urlsplit(url)
        self._secret = parts.netloc.rpartition("@")[0]
        self.name = self._clean(url)
        protocol = fsspec.utils.get_protocol(url)
        try:
            self.fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError as e:
            package = _PACKAGES.get(protocol)
            raise self._failed(f"install what reaches it: pip install '{package}'" if package else str(e)) from None
        except Exception as e:
            raise self._failed(
                f"not the address of a shared folder: {e}; write s3://bucket/prefix, or a path"
            ) from None
        self._root = f"{root.rstrip('/')}/{folder}"
        self._local = "file" in _protocols(self.fs)
        self._in_one_step = protocol in OBJECT_STORES
        self._create = self._in_one_step or protocol == "memory"

    def read(self, path: str) -> bytes | None:
        """A file's bytes; ``None`` where there is none. Raises ParetoError when the share cannot be read."""
        with self._explained("cannot be read"):
            try:
                data: bytes = self.fs.cat_file(self._at(path))
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None
            return data

    def size(self, path: str) -> int | None:
        """A file's bytes, counted; ``None`` where there is none. Raises ParetoError when the share cannot be read."""
        with self._explained("cannot be read"):
            try:
                info: dict[str, Any] = self.fs.info(self._at(path))
            except (FileNotFoundError, NotADirectoryError):
                return None
            return int(info["size"])

    def write(self, path: str, data: bytes) -> None:
        """Put a file there, or another in its place. Raises ParetoError when the share cannot be written."""
        with self._explained("cannot be written"):
            if self._in_one_step:
                self.fs.pipe_file(self._at(path), data)
            else:
                with self._beside(path, data) as temporary:
                    self.fs.mv(temporary, self._at(path))

    def create(self, path: str, data: bytes) -> bool:
        """Put a file there unless there is one; whether it was put.

        Of two at once one is told so, on object stores and mounted folders. Elsewhere both may be, and the later stays.

        Raises:
            ParetoError: the share cannot be written.
        """
        with self._explained("cannot be written"):
            try:
                if self._create:
                    self.fs.pipe_file(self._at(path), data, mode="create")
                elif self.fs.exists(self._at(path)):
                    return False
                else:
                    with self._beside(path, data) as temporary:
                        self._place(temporary, self._at(path))
            except FileExistsError:
                return False
            return True

    def remove(self, path: str) -> None:
        """Take a file away; a missing one is fine. Raises ParetoError when the share cannot be written."""
        with self._explained("cannot be written"), suppress(FileNotFoundError):
            self.fs.rm_file(self._at(path))

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _place(self, temporary: str, path: str) -> None:
        if self._local:
            try:
                self.fs.link(temporary, path)  # which fails where something stands, unlike a move
                return
            except FileExistsError:
                raise
            except OSError as e:
                if e.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):  # a file system without links
                    raise
        self.fs.mv(temporary, path)

    @contextmanager
    def _beside(self, path: str, data: bytes) -> Iterator[str]:
        """A file beside the one that it is to become."""
        folder, _, name = self._at(path).rpartition("/")
        temporary = f"{folder}/.{name}.{secrets.token_hex(8)}"
        self.fs.makedirs(folder, exist_ok=True)
        try:
            self.fs.pipe_file(temporary, data)
            yield temporary
        finally:
            with suppress(OSError):  # it was moved, or what went wrong is told already
                self.fs.rm_file(temporary)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Whatever a file system, a network or a service says, in one line."""
        try:
            yield
        except Exception as e:  # each library has its own kinds
            raise self._failed(f"{what}: {_said(e)}") from e

    def _failed(self, message: str) -> ParetoError:
        return ParetoError(f"share {self.name}: {' '.join(self._clean(message).split())}")

    def _clean(self, text: str) -> str:
        return text.replace(f"{self._secret}@", "") if self._secret else text


def absolute(url: str) -> str:
    """A path as the same path everywhere; anything else as it is."""
    return url if "://" in url or "::" in url else str(Path(url).absolute())


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _said(error: Exception) -> str:
    kind = type(error).__name__
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "its disk is full"
    if isinstance(error, PermissionError) or "Credentials" in kind:
        return f"{error or kind}; check the credentials and rights of this machine"
    if isinstance(error, FileNotFoundError):
        return f"{error}; is the bucket or folder there?"
    return f"{kind}: {error}" if not isinstance(error, OSError) or not error.strerror else str(error.strerror)
