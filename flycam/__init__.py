"""flycam: drone flights over mountains into a map that a disaster command room can trust."""

import os

# Frames are worked on in threads of our own. Threads inside a matrix product of a few dozen rows only wait
# for each other (40 times the processor time on a busy machine), and their number would decide the last bits.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = "0.1.0"
