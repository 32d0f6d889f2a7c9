"""Workflow packs as YAML text: a small, strict part of YAML in which every value means what it looks like.

Numbers with a point stay text (“0.5”), so that no float comes near a rule; `no` and `on` are words, not booleans.
Aliases, tags, repeated keys and deep nesting are refused: a pack is read by people before it is read by the desk.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from workflows.errors import BadPack

LARGEST = 200_000  # characters
DEEPEST = 12
# Lists of a pack: what one of their rows is called, and the name that tells it from the others.
_ROWS = {"steps": ("Step", "key"), "triggers": ("Trigger", "key"), "rules": ("Rule", "name")}
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class _Reader(yaml.SafeLoader):
    """SafeLoader without surprises: only text, whole numbers, true, false and null are recognized."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise BadPack(f"Line {line}: a pack has no aliases; write the text out.")
        if getattr(event, "tag", None):
            raise BadPack(f"Line {line}: a pack has no tags.")
        if isinstance(event, yaml.ScalarEvent) and _UNSTORABLE.search(event.value):
            raise BadPack(f"Line {line}: a text holds a character that cannot be stored.")
        self.depth += 1
        if self.depth > DEEPEST:
            raise BadPack(f"Line {line}: nested more than {DEEPEST} levels deep.")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise BadPack(f"Line {line}: a name must be a text.")
            if key in found:
                raise BadPack(f"Line {line}: “{key}” is given twice.")
            found[key] = self.construct_object(value_node, deep=deep)
        return found


_Reader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Reader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Reader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9][0-9]{0,17})$"), list("-0123456789"))


class _Writer(yaml.SafeDumper):
    """Writes so that both this reader and any other YAML reader get the same text back."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        return True


def read(text: str) -> dict[str, Any]:
    """The mapping a pack's text holds; raises BadPack with the line where it is wrong."""
    found = _understood(text, lambda: yaml.load(text, Loader=_Reader))  # noqa: S506 - SafeLoader knows more
    if not isinstance(found, dict):
        raise BadPack("A pack is a list of names with their values, such as “slug: refund”.")
    return found


def lines(text: str) -> dict[str, int]:
    """The line of each step, trigger and rule, by the words in which sentences name them: “Step 3”, “Step refund”.

    Raises BadPack as `read` does.
    """
    found: dict[str, int] = {}
    root = _understood(text, lambda: yaml.compose(text, Loader=_Reader))
    for name, rows in root.value if isinstance(root, yaml.MappingNode) else []:
        if name.value not in _ROWS or not isinstance(rows, yaml.SequenceNode):
            continue
        noun, label = _ROWS[name.value]
        for place, row in enumerate(rows.value, start=1):
            line = row.start_mark.line + 1
            found[f"{noun} {place}"] = line
            if isinstance(row, yaml.MappingNode):
                own = [value.value for key, value in row.value if key.value == label]
                found |= {(f"{noun} {key}" if label == "key" else f"“{key}”"): line for key in own}
    return found


def _understood(text: str, read: Callable[[], Any]) -> Any:
    """What `read` makes of the text; raises BadPack with the line where it makes nothing of it."""
    if len(text) > LARGEST:
        raise BadPack(f"A pack has at most {LARGEST:,} characters.")
    try:
        return read()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadPack(f"{f'Line {mark.line + 1}: ' if mark else ''}this is not YAML: {error.problem}.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise BadPack(f"This is not YAML: {str(error).splitlines()[0]}") from error


def write(pack: Mapping[str, Any]) -> str:
    """A pack as text that `read` turns into the same mapping."""
    return yaml.dump(dict(pack), Dumper=_Writer, sort_keys=False, allow_unicode=True, width=100)
