"""Photo files and MP4: containers, pixels, decoding."""
