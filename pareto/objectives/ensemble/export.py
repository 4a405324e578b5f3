"""A member as a model of its own, which any ``AutoModelForSequenceClassification`` loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto.config import Model
from pareto.errors import ParetoError
from pareto.objectives.ensemble.classifier import classifier, padded_tokenizer
from pareto.objectives.ensemble.features import frozen_base
from pareto.objectives.ensemble.heads import heads_file, read_heads
from pareto.store.files import staged, write_json, write_text

if TYPE_CHECKING:
    from pareto.objectives.ensemble.ensemble import Ensemble

README = """# {name}: reward model of "{objective}"

The logit of the only label is the reward, in raw units: calibrated it is (logit − {centre:.6g}) / {scale:.6g} nats.
It scores the chat template's conversation up to the answer, the answer, and the token that ends the turn:

```python
ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
ids = [*ids, *tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
```

with `messages` of a system prompt ({system!r}) and what the user says.
"""


def export_member(ensemble: Ensemble, i: int, out: Path) -> None:
    """Write a member as a Hugging Face folder that gives the same raw score up to rounding.

    Args:
        ensemble: where it is a member.
        i: its place, from 0.
        out: the new folder.

    Raises:
        ParetoError: a member that is no such model: an MLP, a head on an encoder or on features of the middle layers,
            or a foreign one; or ``out`` exists.
    """
    import torch

    member = ensemble.info["members"][i]
    base = frozen_base(Model.model_validate(ensemble.info["model"]))
    if member["kind"] == "lora":
        from peft import PeftModel

        model: Any = PeftModel.from_pretrained(classifier(base), ensemble.path / member["file"]).merge_and_unload()
    elif member["kind"] == "linear" and ensemble.info["settings"]["pooling"] == "last":
        row = [m["kind"] for m in ensemble.info["members"][:i]].count("linear")
        model = classifier(base)
        heads = read_heads(ensemble.path / heads_file("linear"))
        model.score.weight.data = torch.from_numpy(heads.tensors["weight"][row : row + 1]).to(base.device)
    else:
        raise ParetoError(
            f"{member['name']} cannot leave as a sequence classifier: only LoRA members and linear heads on the last "
            "token's features can (pooling 'last')"
            if member["kind"] != "foreign"
            else f"{member['name']} is a model of its own already"
        )
    about = {
        "name": member["name"],
        "objective": ensemble.objective,
        "centre": ensemble.calibration.centre[i],
        "scale": ensemble.calibration.scale[i],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with staged(out) as inside:
        model.save_pretrained(inside)
        padded_tokenizer(base).save_pretrained(inside)
        write_json(inside / "pareto.json", about)
        write_text(inside / "README.md", README.format(**about, system=base.system))
