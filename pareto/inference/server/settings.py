"""What a server is told at its start: where it listens, who may ask, and how much."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

from pareto.errors import ParetoError

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@A-Z]+")


@dataclass(frozen=True)
class Settings:
    """The options of ``pareto serve`` that are no run."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8000
    """0: any that is free."""
    keys: tuple[str, ...] = ()
    """API keys, any of which opens; empty: everybody may ask."""
    insecure: bool = False
    """Without keys others than this machine may ask too."""
    cors: tuple[str, ...] = ()
    """Origins whose pages may ask, such as https://example.org; or *."""
    max_tokens: int = 512
    """Longest answer that may be asked for, in tokens."""
    max_prompt_tokens: int = 4096
    """Longest conversation, in tokens."""
    max_best_of: int = 16
    """Most answers to one request, by ``n`` or by ``best_of``."""
    max_concurrent: int = 256
    """Most requests at a time, those that wait included."""
    max_waiting: int = 128
    """Most requests that wait for a place in the batch."""
    rows: int = 32
    """Most answers that are drawn at a time."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the model, see ``Arms.of``."""
    timeout: float = 120.0
    """Seconds after which a request ends with what it has."""
    breaking: Literal["move", "refuse"] = "move"
    """What becomes of a preference that breaks a priority."""
    beta_share: float = 0.1
    """Share of the users who get the candidate run, where there is one."""
    score_share: float = 0.1
    """Share of the answers that are scored off the request path."""
    watch_share: float = 1.0
    """Share of the prompts whose features go into the log, for drift; made off the request path."""
    store_prompts: bool = False
    """Keep prompts and answers in the log."""
    retention_days: float = 30.0
    """How long a request stays in the log."""

    def __post_init__(self) -> None:
        for name in ("max_tokens", "max_prompt_tokens", "max_best_of", "max_concurrent", "rows"):
            if getattr(self, name) < 1:
                raise ParetoError(f"--{name.replace('_', '-')} {getattr(self, name)}: wanted 1 or more")
        if self.max_waiting < 0:
            raise ParetoError(f"--max-waiting {self.max_waiting}: wanted 0 or more")
        for name in ("beta_share", "score_share", "watch_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParetoError(f"--{name.replace('_', '-')} {getattr(self, name):g}: wanted a share from 0 to 1")
        for name in ("timeout", "retention_days"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ParetoError(f"--{name.replace('_', '-')} {getattr(self, name):g}: wanted a number above 0")
        if self.max_best_of > self.rows:
            raise ParetoError(
                f"--max-best-of {self.max_best_of}: the answers to a request are drawn together, and --rows is "
                f"{self.rows}"
            )
        for key in self.keys:
            if not (key.isascii() and key.isprintable() and key.strip() == key and key):
                raise ParetoError("--api-key: wanted printable ASCII characters without spaces around them")
        for origin in self.cors:
            if not (origin == "*" or _ORIGIN.fullmatch(origin)):
                raise ParetoError(
                    f"--cors {origin}: wanted * or an origin as browsers send it, https://example.org[:443]"
                )
        if not (self.keys or self.insecure or _is_loopback(self.host)):
            raise ParetoError(
                f"--host {self.host}: others than this machine could ask; give --api-key KEY (or PARETO_API_KEYS), or "
                "--insecure where something else keeps strangers out"
            )

    @property
    def max_body(self) -> int:
        """Most bytes of a request's body: every token may be a long word, written in JSON's escapes."""
        return max(1 << 20, 64 * self.max_prompt_tokens)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
