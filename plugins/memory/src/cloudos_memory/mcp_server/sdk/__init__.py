"""The MCP library's server and transports.

Importing it takes most of a second: done in a thread, when it is needed.
"""
