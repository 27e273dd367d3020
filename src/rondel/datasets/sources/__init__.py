"""File formats that datasets are read from, one per file; chosen by the file's suffix."""
