"""The Messages API both ways, held against the official client."""
