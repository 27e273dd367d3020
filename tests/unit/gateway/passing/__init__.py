"""The pure parts of passing requests on."""
