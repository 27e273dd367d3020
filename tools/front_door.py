"""An import-linter contract: an area imports only the front-door modules of another area."""

from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class FrontDoor(Contract):
    """`doors` are the module names that others may import; areas in `exempt` may look behind
    them, and areas in `open` have no walls.

    A field stands for what is read into it: text, or a set of text.
    """

    root: Any = fields.StringField()
    doors: Any = fields.SetField(subfield=fields.StringField())
    exempt: Any = fields.SetField(subfield=fields.StringField(), required=False)
    open: Any = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002  import-linter's signature
        """List the imports that go through a wall. A plugin package's own modules are behind its area's door."""
        broken: list[str] = []
        for importer in sorted(graph.modules):
            here = importer.split(".")
            if here[0] != self.root or len(here) < 3 or here[1] in (self.exempt or ()):
                continue
            if here[-1] in {"api", "commands", "pages", "tasks"}:
                allowed = {*self.doors, "api", "schemas"}
            elif here[-1] == "schemas":
                allowed = {*self.doors, "schemas"}
            else:
                allowed = set(self.doors)
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                there = imported.split(".")
                if len(there) > 1 and there[1] in (self.open or ()):
                    continue
                if there[0] == self.root and len(there) > 2 and there[1] != here[1] and there[2] not in allowed:
                    broken.append(f"{importer} -> {imported}")
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one import a line."""
        for line in check.metadata["broken"]:
            output.print_error(line)
