"""Load an export with transformers, and with PEFT where it has adapters, and say what it computes.

Run alone as ``python -I with_transformers.py JOB OUT``. The job: ``model`` (folder), ``tokenizer`` (folder),
``adapters`` (folder and scale of each), ``end`` (token), ``tokens`` (at most to generate), ``threads``, and
``conversations`` (``messages``, ``text``, ``ids``, ``answer``). Written to OUT: ``<i>.npy``, the logits (answer,
vocabulary) before each token of the answer, and ``said.json`` with the greedy tokens, the tokens that this tokenizer
makes of the conversation, and the versions.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(job: dict[str, Any], out: Path) -> None:
    """Answer every conversation."""
    torch.set_num_threads(job["threads"])
    model: Any = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    if job["adapters"]:
        import peft

        versions["peft"] = peft.__version__
        model = with_adapters(peft, model, job["adapters"])
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(job["tokenizer"])
    said: dict[str, Any] = {"versions": versions, "greedy": [], "ids": []}
    for i, talk in enumerate(job["conversations"]):
        ids, answer = torch.tensor([talk["ids"]]), talk["answer"]
        with torch.no_grad():
            logits = model(torch.cat([ids, torch.tensor([answer])], 1)).logits[0, len(talk["ids"]) - 1 : -1]
            made = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=job["tokens"],
                eos_token_id=job["end"], pad_token_id=job["end"],
            )  # fmt: skip
        np.save(out / f"{i}.npy", logits.float().numpy())
        said["greedy"].append(made[0, ids.shape[1] :].tolist())
        rendered = tokenizer.apply_chat_template(talk["messages"], add_generation_prompt=True, tokenize=False)
        said["ids"].append(tokenizer(rendered, add_special_tokens=False)["input_ids"])
    (out / "said.json").write_text(json.dumps(said), encoding="utf-8")


def with_adapters(peft: Any, model: Any, adapters: list[dict[str, Any]]) -> Any:
    """The sum of the adapters, each with its scale, on the model."""
    names = [f"a{i}" for i in range(len(adapters))]
    for name, adapter in zip(names, adapters, strict=True):
        if name == names[0]:
            model = peft.PeftModel.from_pretrained(model, adapter["folder"], adapter_name=name)
        else:
            model.load_adapter(adapter["folder"], adapter_name=name)
    model.base_model.set_adapter(names)
    for layer in model.modules():
        if isinstance(layer, peft.tuners.lora.LoraLayer):
            for name, adapter in zip(names, adapters, strict=True):
                if name in layer.scaling:
                    layer.set_scale(name, adapter["scale"])
    return model


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
