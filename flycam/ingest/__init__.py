"""The outside world to Frame: photos, EXIF/XMP, logs, and the doctor who settles the field's lies."""
