"""The same model, smaller: quantised, with its size, speed and accuracy before and after."""
