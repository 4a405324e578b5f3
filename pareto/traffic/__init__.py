"""What was served: a log of requests, their scores and people's feedback, and what follows from it."""
