"""Contract test classes and in-memory twins: what an implementation of a port must do, for ours and a stranger's."""
