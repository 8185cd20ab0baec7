"""From an aircraft's video and its log to a flight on the map, picture by picture."""
