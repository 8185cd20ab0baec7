"""A film or a stream: received, decoded, dated, its camera's poses."""
