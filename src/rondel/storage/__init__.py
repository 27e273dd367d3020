"""Where things are kept: rows, columns, blobs."""
