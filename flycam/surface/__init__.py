"""The ground as a flight itself shows it, where its frames support it: height, support, sigma."""
