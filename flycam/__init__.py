"""flycam: drone flights over mountains, made into a map that a disaster command room can trust."""

import os

# Frames are processed in flycam's own threads. Threads inside a matrix product of a few dozen rows only wait
# for each other (40 times the processor time on a busy machine), and their number would decide the last bits.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

MAX_PIXELS = 160_000_000
"""Most pixels of a photo: the largest aerial cameras have 150 megapixels."""

# Headers are read before anything is decoded, but a decoder may find another size in a file than the header
# reader did. OpenCV reads this limit once, while it is loaded, and then refuses before it allocates.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))

__version__ = "0.1.0"
