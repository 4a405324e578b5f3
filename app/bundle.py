"""An exported policy as one file for the browser; free of Streamlit."""

from __future__ import annotations

import hashlib
import io
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from pareto.choice.admission import Admission
from pareto.export.adapter import export
from pareto.records import Point
from pareto.store.run import Run


@dataclass(frozen=True)
class Bundle:
    """A zipped adapter folder."""

    name: str
    """Of the folder inside, and of the file without its ``.zip``."""
    data: bytes
    sha256: str
    files: tuple[tuple[str, int], ...]
    """Names and sizes in bytes of what is inside."""


def bundle(run: Run, point: Point, admission: Admission, *, force: bool) -> Bundle:
    """Export a policy as a PEFT adapter and zip it; the same policy gives the same bytes.

    Args:
        run: the run.
        point: what to export.
        admission: what the priorities say of it.
        force: even where it does not keep them.

    Raises:
        ParetoError: as ``export`` does.
    """
    name = f"{run.path.name}-{point.id}"
    with tempfile.TemporaryDirectory() as folder:
        made = export(run, point, Path(folder, name), admission, force=force)
        found = sorted(path for path in made.rglob("*") if path.is_file())
        whole = io.BytesIO()
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in found:
                # A time of its own would give every download another hash.
                entry = zipfile.ZipInfo(f"{name}/{path.relative_to(made)}", (1980, 1, 1, 0, 0, 0))
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=1)
        files = tuple((str(path.relative_to(made)), path.stat().st_size) for path in found)
    data = whole.getvalue()
    return Bundle(name, data, hashlib.sha256(data).hexdigest(), files)
