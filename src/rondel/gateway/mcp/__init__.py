"""MCP servers: registered under a name, and called through the gateway by those keys that may."""
