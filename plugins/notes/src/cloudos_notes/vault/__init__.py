"""Vaults: ZIP archives of Markdown files, imported and exported, and attachments."""
