"""The chosen policy in forms that others load, or the whole bank, each with its card and the files' hashes."""
