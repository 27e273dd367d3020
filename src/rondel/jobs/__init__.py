"""Durable work that survives kill -9.

Any process enqueues by writing a row in its own transaction; workers claim rows, hold a lease, and take over the jobs
of workers that died. DBOS keeps, in the worker process only, what each finished step gave. Announces `JobEnded`.
"""
