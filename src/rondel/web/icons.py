"""Line icons and status marks, drawn for the console. Paths are on a grid of 24."""

from markupsafe import Markup

_PATHS = {
    "loop": '<path d="M4 12a8 8 0 0 1 13.7-5.6M20 12a8 8 0 0 1-13.7 5.6"/><path d="M18 2v5h-5M6 22v-5h5"/>',
    "trace": '<path d="M3 6h10M8 12h9M12 18h9"/>',
    "session": '<path d="M4 5h16v11H9l-5 4z"/>',
    "monitor": '<path d="M3 12h4l3 7 4-14 3 7h4"/>',
    "dataset": '<path d="M4 6c0-4 16-4 16 0s-16 4-16 0v12c0 4 16 4 16 0V6M4 12c0 4 16 4 16 0"/>',
    "prompt": '<path d="M5 7l5 5-5 5M13 18h6"/>',
    "training": '<path d="M4 20V10M10 20V4M16 20v-7M22 20H2"/>',
    "experiment": '<path d="M4 12l5 5L20 6"/>',
    "review": '<path d="M4 6h9M4 12h6M4 18h5M13 17l3 3 6-7"/>',
    "model": '<path d="M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9"/>',
    "release": '<path d="M5 12h14M13 6l6 6-6 6M5 5v14"/>',
    "route": '<path d="M3 12h5M16 6h5M16 18h5M8 12l8-6M8 12l8 6"/>',
    "audit": '<path d="M12 3l8 3v6c0 5-3.5 8-8 9-4.5-1-8-4-8-9V6z"/>',
    "evidence": '<path d="M6 3h9l4 4v14H6zM9 13l2 2 4-4"/>',
    "key": '<path d="M14 10a4 4 0 1 0-3 3.9L13 16h2v2h2v2h3v-3z"/>',
    "search": '<circle cx="11" cy="11" r="7"/><path d="M20 20l-4-4"/>',
    "play": '<path d="M7 5l12 7-12 7z"/>',
    "plus": '<path d="M12 5v14M5 12h14"/>',
    "close": '<path d="M6 6l12 12M18 6L6 18"/>',
    "copy": '<path d="M9 11a2 2 0 0 1 2-2h7a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-7a2 2 0 0 1-2-2zM5 15V5a1 1 0 0 1 1-1h9"/>',
    "moon": '<path d="M20 14A8 8 0 0 1 10 4a8 8 0 1 0 10 10z"/>',
    "down": '<path d="M8 10l4 4 4-4"/>',
    "out": '<path d="M10 4H5v16h5M14 8l4 4-4 4M18 12H9"/>',
    "thumb-up": '<path d="M7 11v9H4v-9zM7 11l4-8c1.7 0 2.5 1 2.2 2.6L12.5 9H19a1.5 1.5 0 0 1 1.5 1.8'
    'l-1.5 7.7A2 2 0 0 1 17 20H7"/>',
    "thumb-down": '<path d="M17 13V4h3v9zM17 13l-4 8c-1.7 0-2.5-1-2.2-2.6l.7-3.4H5a1.5 1.5 0 0 1-1.5-1.8'
    'L5 5.5A2 2 0 0 1 7 4h10"/>',
    "k-gateway": '<path d="M3 12h5M16 6h5M16 18h5M8 12l8-6M8 12l8 6"/>',
    "k-llm": '<path d="M12 4l1.8 5.2L19 11l-5.2 1.8L12 18l-1.8-5.2L5 11l5.2-1.8z"/>',
    "k-retriever": '<circle cx="11" cy="11" r="6"/><path d="M20 20l-4.5-4.5"/>',
    "k-embedding": '<path d="M5 5h5v5H5zM14 14h5v5h-5zM10 10l4 4"/>',
    "k-reranker": '<path d="M4 7h12M4 12h8M4 17h5M18 9v10M15 16l3 3 3-3"/>',
    "k-tool": '<path d="M14 6a4 4 0 0 0 5 5l-9 9-4-4z"/>',
    "k-agent": '<path d="M5 8h14v11H5zM12 4v4M9 13v1M15 13v1"/>',
    "k-chain": '<path d="M9 12h6M10 7H8a5 5 0 0 0 0 10h2M14 7h2a5 5 0 0 1 0 10h-2"/>',
    "k-guardrail": '<path d="M12 3l8 3v6c0 5-3.5 8-8 9-4.5-1-8-4-8-9V6z"/>',
    "k-cache": '<path d="M13 2L5 14h6l-1 8 8-12h-6z"/>',
    "k-evaluator": '<path d="M4 12l5 5L20 6"/>',
    "k-span": '<path d="M5 12h14"/>',
}

STATES = {
    "ok": "ok",
    "warn": "warning",
    "error": "error",
    "run": "under way",
    "off": "not begun",
    "held": "held",
}
"""Each status mark and how it is read aloud."""


def icon(name: str) -> Markup:
    """An icon as wide as the text around it; decoration, so hidden from screen readers.

    Raises:
        KeyError: there is no such icon.
    """
    drawing = Markup(_PATHS[name])  # noqa: S704  our own constants
    return Markup('<svg class="i" viewBox="0 0 24 24" aria-hidden="true">{}</svg>').format(drawing)


def mark(state: str) -> Markup:
    """A status mark: shape and hue, read aloud as its word.

    Raises:
        KeyError: there is no such state.
    """
    return Markup('<i class="st {}" role="img" aria-label="{}"></i>').format(state, STATES[state])
