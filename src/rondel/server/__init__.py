"""Assembly: builds every service once (wiring), runs the processes, and shows the circle closing."""
