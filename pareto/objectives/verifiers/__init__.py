"""Verifiers: rewards that check an answer instead of judging it.

``answers`` compares the last answer that a completion asserts with the accepted ones, ``programs`` runs its code
against unit tests in the ``sandbox``. What neither passes nor fails, because it took too long or could not be checked,
is ``Undecided``.
"""
