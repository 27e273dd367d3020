"""Writes `docs/settings.md` from the settings themselves: `python -m tools.settings_page`."""

from pathlib import Path

from rondel.settings import described

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"

HEAD = """# Settings

A flag wins over the environment variable, that over `rondel.yaml` in the folder where the command runs, that over the
default. The variable of a setting is `RONDEL_` and its name in capitals: `port` is `RONDEL_PORT`. The secret is best
given as a variable.

| setting | default | meaning |
|---|---|---|
"""


def render() -> str:
    """The page as it has to be."""
    return HEAD + "".join(f"| `{n}` | {f'`{d}`' if d else ''} | {m} |\n" for n, d, m in described())


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
