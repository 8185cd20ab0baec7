"""Block adjustment: tie points between frames, and the poses, camera and shift that explain them best."""
