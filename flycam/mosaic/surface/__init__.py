"""DSM of a flight from its own stereo: height, support, sigma."""
