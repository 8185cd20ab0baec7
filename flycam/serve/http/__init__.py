"""What every answer is made with: limits, failures, words, links, and the log of requests."""
