"""Image geometry on arrays, with numpy and cv2 only.

No files, no clocks, no CRS library.
"""
