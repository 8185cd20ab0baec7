"""Common parts of answers: limits, errors, messages, links, and the request log."""
