"""People look: queues, rubrics, labels, agreement."""
