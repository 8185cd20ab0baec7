"""flycam: drone flights over mountains into a map that a disaster command room can trust."""

import os

# Frames are worked on in threads of our own. Threads inside a matrix product of a few dozen rows only wait
# for each other (40 times the processor time on a busy machine), and their number would decide the last bits.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

MAX_PIXELS = 160_000_000
"""Of a photo: the largest aerial cameras have 150 megapixels."""

# Heads are read before anything is decoded, but a decoder may find another size in a file than its head's
# reader did: OpenCV, which looks at this once while it is loaded, refuses before it takes the memory.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))

__version__ = "0.1.0"
