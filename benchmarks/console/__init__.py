"""Times of the console in a real Chromium, beside a static page in the same run."""
