"""How many answers a prompt is worth: the mathematics of adaptive best-of-N, on arrays alone.

Read in this order: ``curve`` and ``kl`` say what the best of n brings and costs; ``difficulty`` predicts a prompt's
spread of utility, from which ``allocation`` sets n before anything is drawn; ``stopping`` ends the drawing early, at a
price that ``prices`` fits; ``rejection`` ends answers at their beginning. ``evaluate`` measures allocation and
stopping on prompts that they were not fitted to, ``early`` rejection and verified passes; ``spending`` and ``savings``
hold each against the same tokens spent evenly. Imports no torch.
"""
