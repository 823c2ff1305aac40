"""Notes in the database: rows, links, tags, versions, trash and full-text search."""
