"""From the frames of a flight to a finished revision: adjusted, surfaced, blended, reported."""
