"""Quality report of a finished revision: content in two languages, and layout."""
