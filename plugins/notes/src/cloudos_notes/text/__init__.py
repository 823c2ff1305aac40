"""The text of a note: Markdown, normalization, words and validation."""
