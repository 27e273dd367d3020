"""Prices that people set for their project, with the day from which they hold, before the public list; what was spent
is priced by those of its time. Announces `PricesChanged`.
"""
