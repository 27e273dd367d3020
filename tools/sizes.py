"""Files under 600 lines and functions under 100: what is longer holds two ideas."""

import ast
import sys
from pathlib import Path

FILE_LINES, FUNCTION_LINES = 600, 100


def findings(root: Path) -> list[str]:
    """One sentence for each file or function that is too long."""
    found: list[str] = []
    for path in sorted(p for folder in ("src", "tests", "tools", "benchmarks") for p in (root / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > FILE_LINES:
            found.append(f"{path.relative_to(root)} has {lines} lines; {FILE_LINES} are the most.")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    where = f"{path.relative_to(root)}:{node.lineno}"
                    found.append(f"{where} {node.name} has {length} lines; {FUNCTION_LINES} are the most.")
    return found


if __name__ == "__main__":
    told = findings(Path(__file__).parent.parent)
    sys.stderr.write("".join(f"{sentence}\n" for sentence in told))
    sys.exit(1 if told else 0)
