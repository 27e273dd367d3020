"""The same model, smaller: quantised, with its size, speed and accuracy before and after.

A compression is a run of kind compression and a job; what comes of it is a model version whose parent is the model it
was made from. Announces nothing of its own: the registry announces `ModelRegistered`.
"""
