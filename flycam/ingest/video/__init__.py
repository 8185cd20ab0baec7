"""Video files and streams: reception, decoding, frame times and camera poses."""
