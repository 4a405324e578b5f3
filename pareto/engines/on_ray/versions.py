"""What software a node has. Sent to nodes as it is here, so that one with another pareto, or none, can answer too."""

from __future__ import annotations

PACKAGES = ("pareto", "torch", "trl", "peft", "transformers", "optuna")
"""Decide what comes out of a work, beside Python."""


def versions() -> dict[str, str]:
    """Name → version of what decides results; ``none`` where it is not installed."""
    import platform
    from importlib import metadata

    def of(package: str) -> str:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return "none"

    return {"python": platform.python_version(), **{name: of(name) for name in PACKAGES}}


def source() -> str:
    """8 hex digits of pareto's files: checkouts of the same version may differ. Empty where it is not installed."""
    import hashlib
    import importlib.util
    from pathlib import Path

    found = importlib.util.find_spec("pareto")
    if found is None or found.origin is None:
        return ""
    root, digest = Path(found.origin).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:8]


def difference(theirs: dict[str, str], ours: dict[str, str]) -> str:
    """What differs, in words: ``optuna 4.9.0 there, 5.0.1 here``; empty where nothing does."""
    return "; ".join(f"{name} {theirs[name]} there, {ours[name]} here" for name in ours if theirs[name] != ours[name])
