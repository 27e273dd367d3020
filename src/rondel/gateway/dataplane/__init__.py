"""The process on the public port: one state machine a request, no coroutine, no database."""
