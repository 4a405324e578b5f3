"""Fields of OpenAI's, and of servers like it, that this one knows and does not serve, each with what to do without."""

from __future__ import annotations

UNSUPPORTED = {
    "logprobs": "log-probabilities are not told; leave it out or false",
    "top_logprobs": "log-probabilities are not told; leave it out or 0",
    "frequency_penalty": "penalties are not applied; leave it out or 0",
    "presence_penalty": "penalties are not applied; leave it out or 0",
    "top_k": "not supported here, the recipe's holds; leave it out",
    "min_p": "not supported here; leave it out, or give top_p",
    "repetition_penalty": "not supported here, penalties are not applied; leave it out",
    "best_of": "ask by pareto.best_of",
    "logit_bias": "tokens cannot be biased; leave it out or empty",
    "response_format": "answers are plain text; leave it out or {'type': 'text'}",
    "tools": "tools are not called; leave it out or empty",
    "tool_choice": "tools are not called; leave it out, 'none' or 'auto'",
    "parallel_tool_calls": "tools are not called; leave it out",
    "functions": "functions are not called; leave it out",
    "function_call": "functions are not called; leave it out",
    "store": "answers are stored only where the server was started with --store-prompts; leave it out or false",
    "metadata": "it would not be kept; leave it out",
    "modalities": "answers are text; leave it out or ['text']",
    "audio": "answers are text; leave it out",
    "prediction": "predicted outputs are not used; leave it out",
    "reasoning_effort": "the models do not reason beside their answer; leave it out",
    "verbosity": "ask by pareto.weights instead, where the run has an objective for it",
    "service_tier": "there is one; leave it out, 'auto' or 'default'",
    "web_search_options": "the web is not searched; leave it out",
}

PARTS = {
    "image_url": "images are not read",
    "input_audio": "audio is not heard",
    "file": "files are not read",
}
"""Kinds of pieces of a message."""
WANTED = {
    "pareto.best_of": "wanted a whole number; 'auto' is only in `pareto chat`",
    "pareto.priorities": "wanted rules as text, such as 'harmless>=0.9; concise~0.1'",
}
"""Fields of ours → what is wanted, where a value is of another type."""
