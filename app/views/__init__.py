"""One page per file; each has a function ``page(run)`` that draws it."""
