"""Common parts of routes: services, guards, errors, limits, links, request log."""
