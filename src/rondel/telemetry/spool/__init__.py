"""From the gateway's spool to spans: segments are read, mapped and stored, each record exactly once."""
