"""What keeps a house whole: read back, mended, backed up, restored, let go."""
