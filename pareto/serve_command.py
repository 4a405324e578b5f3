"""``pareto serve``: arguments only; what is heavy comes when a run is served."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from pareto.errors import ParetoError
from pareto.terminal import Root, RunName, quiet, say

KEYS = "PARETO_API_KEYS"
"""Environment: API keys, separated by commas or spaces."""


def serve(
    run: RunName,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 lets others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0: any.")] = 8000,
    api_key: Annotated[
        list[str] | None,
        typer.Option("--api-key", metavar="KEY", help=f"Who asks needs one of them; better in {KEYS}, which ps hides."),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Let others than this machine in without keys.")] = False,
    cors: Annotated[
        list[str] | None, typer.Option("--cors", metavar="ORIGIN", help="Pages that may ask from a browser.")
    ] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", help="Longest answer.")] = 512,
    max_prompt_tokens: Annotated[int, typer.Option("--max-prompt-tokens", help="Longest conversation.")] = 4096,
    max_best_of: Annotated[int, typer.Option("--max-best-of", help="Most answers to one request.")] = 16,
    max_concurrent: Annotated[int, typer.Option("--max-concurrent", help="Most requests at a time.")] = 256,
    max_waiting: Annotated[int, typer.Option("--max-waiting", help="Most that wait for a place in the batch.")] = 128,
    rows: Annotated[int, typer.Option("--rows", help="Most answers drawn at a time.")] = 32,
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option("--dtype", help="Of the model; auto: the recipe's, and float32 on a CPU where that says auto."),
    ] = "auto",
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds; a request then ends with what it has.")] = 120.0,
    breaking: Annotated[
        Literal["move", "refuse"],
        typer.Option("--breaking", help="Weights that break a priority: to the nearest that do not, or refused."),
    ] = "move",
    candidate: Annotated[
        str | None, typer.Option("--candidate", metavar="RUN", help="Another run, for a share of the users.")
    ] = None,
    beta_share: Annotated[float, typer.Option("--beta-share", help="That share, 0 to 1.")] = 0.1,
    score_share: Annotated[float, typer.Option("--score-share", help="Share of answers scored for the monitor.")] = 0.1,
    watch_share: Annotated[
        float, typer.Option("--watch-share", help="Share of prompts that are watched for drift; 0: none.")
    ] = 1.0,
    store_prompts: Annotated[
        bool, typer.Option("--store-prompts", help="Keep prompts and answers; needed for labels from feedback.")
    ] = False,
    retention_days: Annotated[float, typer.Option("--retention-days", help="How long requests stay logged.")] = 30.0,
    root: Root = Path("runs"),
) -> None:
    """Serve a run as OpenAI's clients expect it, with a preference per request."""
    if importlib.util.find_spec("fastapi") is None or importlib.util.find_spec("uvicorn") is None:
        raise ParetoError("the server needs the extra 'serve': pip install 'pareto[serve]'")
    from pareto.inference.server.settings import Settings
    from pareto.store.run import Run

    settings = Settings(
        host=host,
        port=port,
        keys=(*(api_key or ()), *os.environ.get(KEYS, "").replace(",", " ").split()),
        insecure=insecure,
        cors=tuple(cors or ()),
        max_tokens=max_tokens,
        max_prompt_tokens=max_prompt_tokens,
        max_best_of=max_best_of,
        max_concurrent=max_concurrent,
        max_waiting=max_waiting,
        rows=rows,
        dtype=dtype,
        timeout=timeout,
        breaking=breaking,
        beta_share=beta_share,
        score_share=score_share,
        watch_share=watch_share,
        store_prompts=store_prompts,
        retention_days=retention_days,
    )
    opened = Run.open(run, root)
    other = None if candidate is None else Run.open(candidate, root)
    quiet()
    from pareto.inference.server.serving import serve as serve_run

    serve_run(opened, other, settings, say)
