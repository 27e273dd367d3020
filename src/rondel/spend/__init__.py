"""What tokens cost: public list prices by provider and model, prices of one's own, and the cost of a call in integer
nano-USD.
"""
