"""Arrays in, arrays out: numpy and cv2 only. No files, no clocks, no CRS library."""
