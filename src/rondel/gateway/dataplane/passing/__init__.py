"""What goes to a provider as it is: every endpoint that is not read in depth, and MCP servers, over the same kind of
lines, under the same limits, with a record each."""
