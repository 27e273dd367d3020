"""Column store under telemetry: chDB in this process, ClickHouse by DSN, or the server's socket; one contract for all
three.
"""
