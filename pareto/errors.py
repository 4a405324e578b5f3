"""The one exception that the command line turns into a single line and a non-zero exit."""


class ParetoError(Exception):
    """Something that the user can put right: says what was wrong, where, and what would be right."""
