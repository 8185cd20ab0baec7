"""flycam: drone flights over mountains into a map that a disaster command room can trust."""

__version__ = "0.1.0"
