"""The main job, narrated: the whole circle once on real input with a real model."""
