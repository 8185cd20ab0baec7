"""Block adjustment: tie points between frames; the best poses, camera and shift."""
