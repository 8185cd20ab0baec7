"""`python -m flycam` is `flycam`."""

from flycam.cli import main

main()
