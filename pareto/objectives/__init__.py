"""Objectives: rewards on (prompt, completion) that every policy is measured by.

Read in this order: ``catalogue`` names the scorers that come with the package, ``load`` turns a recipe's
objective into a ``Reward``, ``score`` applies rewards to rollouts. All rewards share TRL's signature.
"""
