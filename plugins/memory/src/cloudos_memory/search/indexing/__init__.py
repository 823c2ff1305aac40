"""The embedding queue: notes cut into chunks and embedded in the background."""
