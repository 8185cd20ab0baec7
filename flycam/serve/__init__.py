"""The map and the API over HTTP."""
