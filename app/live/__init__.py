"""The live model: one worker that owns it, and the voices that speak in one batch."""
