"""Where heavy commands run: `local` is a child process of the worker."""
