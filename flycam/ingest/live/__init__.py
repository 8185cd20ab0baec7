"""Live flights: from an aircraft's video and log to a mosaic, frame by frame."""
