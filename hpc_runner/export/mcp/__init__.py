"""Programs that were accepted, as tools of MCP servers."""
