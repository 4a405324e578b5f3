"""The user study: which weights does a person have, judging by which of two answers they like better."""
