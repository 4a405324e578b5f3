"""The chosen policy in a form that others load: a PEFT folder with its card."""
