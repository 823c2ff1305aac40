"""The MCP server at /mcp: sessions, registry of tools, dispatch and notifications."""
