"""Scripts that another Python runs to load an export; they import nothing of this package."""
