"""Who prefers what: questions that wait, the labels that answer them, and those who give them."""
