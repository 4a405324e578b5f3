"""Load a GGUF export with llama.cpp (``llama-cpp-python``) and say what it computes.

Run alone as ``python -I with_llama_cpp.py JOB OUT``; job and output as in ``with_transformers.py``, with ``model`` a
file and at most one adapter. The key-value cache is float32, as ours: llama.cpp's default is float16.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

# Not by an import statement: it is no dependency of ours, and lies in the environment that runs this.
llama_cpp = importlib.import_module("llama_cpp")


def main(job: dict[str, Any], out: Path) -> None:
    """Answer every conversation."""
    adapter = job["adapters"][0] if job["adapters"] else {"folder": None, "scale": 1.0}
    longest = max(len(talk["ids"]) for talk in job["conversations"])
    size = longest + job["tokens"] + 8
    model = llama_cpp.Llama(
        model_path=job["model"], lora_path=adapter["folder"], lora_scale=adapter["scale"], n_ctx=size, n_batch=size,
        n_ubatch=size, n_threads=job["threads"], n_threads_batch=job["threads"], n_gpu_layers=0, logits_all=True,
        type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32, flash_attn=False, verbose=False,
    )  # fmt: skip
    said: dict[str, Any] = {"versions": {"llama_cpp": llama_cpp.__version__}, "greedy": [], "ids": []}
    for i, talk in enumerate(job["conversations"]):
        ids, answer = talk["ids"], talk["answer"]
        model.reset()
        model.eval(ids + answer)
        np.save(out / f"{i}.npy", np.array(model.scores[len(ids) - 1 : len(ids) + len(answer) - 1], dtype=np.float32))
        model.reset()
        made = []
        for token in model.generate(ids, temp=0.0, repeat_penalty=1.0, reset=True):
            made.append(int(token))
            if token == job["end"] or len(made) == job["tokens"]:
                break
        said["greedy"].append(made)
        said["ids"].append(model.tokenize(talk["text"].encode(), add_bos=False, special=True))
    (out / "said.json").write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
