"""The metadata doctor: what is this flight, what is wrong with it, and how each photo lies."""
