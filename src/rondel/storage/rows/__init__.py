"""Rows: SQLite by default, PostgreSQL by DSN."""
