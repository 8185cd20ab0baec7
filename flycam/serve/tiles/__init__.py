"""What is on the map, and its tiles."""
