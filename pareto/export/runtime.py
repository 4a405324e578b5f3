"""Ask another Python, which has an export's runtime and nothing of ours, what the export computes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pareto.errors import ParetoError
from pareto.export import foreign
from pareto.export.ours import Talk

Runtime = Literal["peft", "transformers", "llama.cpp"]
_SCRIPT = {"peft": "with_transformers.py", "transformers": "with_transformers.py", "llama.cpp": "with_llama_cpp.py"}
_NEEDS = {"peft": "torch transformers peft", "transformers": "torch transformers", "llama.cpp": "llama-cpp-python"}
_IS_PYTHON = "import sys; print(*sys.version_info[:2])"


@dataclass(frozen=True)
class Load:
    """What the runtime loads."""

    runtime: Runtime
    model: Path
    """Folder or GGUF file of the base or of the whole model."""
    tokenizer: Path
    """Folder; llama.cpp reads that of the model's file."""
    adapters: tuple[tuple[Path, float], ...] = ()
    """Folder or GGUF file of each, and how much of it."""


@dataclass(frozen=True)
class Said:
    """What the runtime computed."""

    folder: Path
    versions: dict[str, str]
    """Package → version."""
    greedy: list[list[int]]
    """Per conversation, the tokens of its greedy answer."""
    ids: list[list[int]]
    """Per conversation, the tokens that its tokenizer makes of the text."""

    def logits(self, i: int) -> NDArray[np.float32]:
        """(answer, vocabulary) of a conversation: before each token of *our* answer."""
        found: NDArray[np.float32] = np.load(self.folder / f"{i}.npy")
        return found


def check_python(python: str) -> None:
    """Refuse what is no interpreter, before models are loaded for it.

    Raises:
        ParetoError: it cannot be run, or is something else.
    """
    try:
        done = subprocess.run([python, "-I", "-c", _IS_PYTHON], capture_output=True, text=True, timeout=60, check=False)
    except OSError as e:
        raise ParetoError(f"--python {python}: cannot be run: {e.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ParetoError(f"--python {python}: is not a Python interpreter: it does not end") from None
    if done.returncode != 0 or not re.fullmatch(r"3 \d+\s*", done.stdout):
        raise ParetoError(f"--python {python}: is not a Python interpreter; give one such as {sys.executable}")


def ask(load: Load, talks: Sequence[Talk], *, end: int, tokens: int, python: str, scratch: Path) -> Said:
    """Run the runtime once, over all conversations.

    Args:
        load: what it loads.
        talks: prompts with our answers.
        end: the token that ends an answer.
        tokens: longest greedy answer.
        python: the interpreter, see ``check_python``.
        scratch: an empty folder.

    Raises:
        ParetoError: the interpreter lacks the runtime, or cannot load the export.
    """
    import torch

    job: dict[str, Any] = {
        "model": str(load.model.absolute()),
        "tokenizer": str(load.tokenizer.absolute()),
        "adapters": [{"folder": str(path.absolute()), "scale": scale} for path, scale in load.adapters],
        "end": end,
        "tokens": tokens,
        "threads": torch.get_num_threads(),
        "conversations": [asdict(talk) for talk in talks],
    }
    (scratch / "job.json").write_text(json.dumps(job), encoding="utf-8")
    script = Path(str(foreign.__file__)).with_name(_SCRIPT[load.runtime])
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
    # Isolated (-I): neither the working folder nor PYTHONPATH may lend the other Python a package of ours.
    command = [python, "-I", str(script), str(scratch / "job.json"), str(scratch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | quiet)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        hint = f"; it needs: pip install {_NEEDS[load.runtime]}" if "ModuleNotFoundError" in last else ""
        raise ParetoError(f"{python}: {load.runtime} does not load the export: {last}{hint}")
    told = json.loads((scratch / "said.json").read_text(encoding="utf-8"))
    return Said(scratch, told["versions"], told["greedy"], told["ids"])
