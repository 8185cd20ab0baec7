"""Entry point of `python -m flycam`, the same as `flycam`."""

from flycam.cli import main

main()
