"""What a .proto file declares twice: names and field numbers that collide."""
import re
from collections import defaultdict

COMMENT_OR_STRING = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"', re.S)
FIELD = re.compile(r"(?:optional|required|repeated)\s+[\w.]+\s+(\w+)\s*=\s*"
                   r"(\d+)|map\s*<[^>]*>\s+(\w+)\s*=\s*(\d+)")
ONEOF_FIELD = re.compile(r"[\w.]+\s+(\w+)\s*=\s*(\d+)")
RANGE = re.compile(r"(\d+)(?:\s+to\s+(\d+|max))?")
OPENING = re.compile(r"(message|enum|oneof|extend)\s+([\w.]+)")


def declarations(text):
    """The declarations of a .proto file: (scope, word, name or number, field),
    where word is "type", "field", "number" or "kept range"."""
    scopes = []
    text = COMMENT_OR_STRING.sub(
        lambda found: '""' if found[0].startswith('"') else " ", text)
    for statement, end in re.findall(r"([^{};]*)([{};])", text):
        statement = statement.strip()
        scope = ".".join(name for kind, name in scopes if kind != "oneof")
        opening = OPENING.match(statement)
        inside = scopes[-1][0] if scopes else ""
        if end == "}":
            scopes.pop()
        elif end == "{":
            scopes.append(opening.groups() if opening else ("other", ""))
            if opening and opening[1] in ("message", "enum"):
                yield scope, "type", opening[2], opening[2]
        elif inside in ("message", "oneof"):
            yield from _members(scope, inside, statement)


def _members(scope, inside, statement):
    if re.match(r"(extensions|reserved)\s+\d", statement):
        for first, last in RANGE.findall(statement):
            last = int(first if not last else 1 << 29 if last == "max"
                       else last)
            yield scope, "kept range", (int(first), last), statement
        return
    field = (ONEOF_FIELD if inside == "oneof" else FIELD).match(statement)
    if field:
        name, number = [x for x in field.groups() if x]
        yield scope, "field", name, name
        yield scope, "number", int(number), name


def collisions(text):
    """A sentence for each name or number that a .proto file uses twice in one
    scope, and for each number in a range kept for extensions."""
    users, found = defaultdict(list), []
    for scope, word, key, name in declarations(text):
        users[scope, word, key].append(name)
    for (scope, word, key), names in users.items():
        where = f"message {scope}" if scope else "caffe.proto"
        if len(names) > 1 and word == "number":
            found.append(f"{where}: {' and '.join(names)} both have the field "
                         f"number {key}")
        elif len(names) > 1 and word != "kept range":
            found.append(f"{where}: the {word} {key} is declared "
                         f"{len(names)} times")
        if word == "number":
            found += [f"{where}: {names[0]} has the number {key}, in '{kept}'"
                      for (scope2, word2, ends), [kept, *_] in users.items()
                      if (scope2, word2) == (scope, "kept range")
                      and ends[0] <= key <= ends[1]]
    return found
