"""A sweep on more machines than there are here: the real loop and drivers, simulated workers, virtual time."""
