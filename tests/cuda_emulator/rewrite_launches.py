"""Rewrites kernel<<<grid, block>>>(arguments), in a .cu or in the macros of a
header, as C++.

usage: rewrite_launches.py FILE OUTPUT
"""

import pathlib
import re
import sys

COMMENT = re.compile(r"//.*$", re.M)
NAME = re.compile(r"[\w:#]+\Z")  # ## in a macro
OPENING, CLOSING = "([{", ")]}"


def split_at(text, start, end):
    """The parts of text from start on, cut at the commas that are outside of
    all brackets, up to `end`; and where that is."""
    depth, parts, begin = 0, [], start
    for i in range(start, len(text)):
        if depth == 0 and text.startswith(end, i):
            return [*parts, text[begin:i]], i
        if text[i] == "," and depth == 0:
            parts.append(text[begin:i])
            begin = i + 1
        depth += (text[i] in OPENING) - (text[i] in CLOSING)
    raise ValueError(f"no {end} after {text[start:start + 40]!r}")


def kernel_before(text, end):
    """Where the kernel that ends there begins, its name and its template
    arguments, "" if there are none."""
    end = begin = len(text[:end].rstrip())
    if text[end - 1] == ">":
        depth = 0
        while begin == end or depth:
            begin -= 1
            depth += (text[begin] == ">") - (text[begin] == "<")
    name = NAME.search(text[:begin].rstrip())
    return name.start(), name[0], " ".join(text[begin:end].split())


def launch(kernel, template, shape, arguments):
    """The call of emulator::Launch for one launch."""
    stream = []
    if len(shape) == 4 and shape[2].strip() == "0":
        *shape, _, last = shape
        stream = [last.strip()]
    if len(shape) != 2:
        raise ValueError(
            f"{kernel}: launched with {len(shape)} parameters; the emulator "
            "knows grid, block and stream, no dynamic shared memory")
    # A template without its arguments has no address; it takes no stream.
    if template or stream:
        call = "LaunchIn" if stream else "Launch"
        function = f"&{kernel}{template}"
    else:
        call = "LaunchDeduced"
        function = (f"[](const auto&... a) EMULATOR_UNCHECKED "
                    f"{{ {kernel}(a...); }}")
    shape = [f"dim3({' '.join(part.split())})" for part in shape]
    given = [*stream, f'"{kernel}{template}"', *shape, function, *arguments]
    return f"emulator::{call}({', '.join(given)})"


def rewrite(text):
    """The text with all its launches rewritten. Lines keep their numbers."""
    text = COMMENT.sub("", text)
    result, done = [], 0
    for match in re.finditer("<<<", text):
        start, kernel, template = kernel_before(text, match.start())
        shape, end = split_at(text, match.end(), ">>>")
        begin = text.index("(", end) + 1
        arguments, last = split_at(text, begin, ")")
        if not "".join(arguments).strip():
            arguments = []
        result += [text[done:start],
                   launch(kernel, template, shape, arguments),
                   "\n" * text.count("\n", start, begin)]
        done = last + 1
    return "".join(result) + text[done:]


def main():
    source, target = map(pathlib.Path, sys.argv[1:])
    text = f'#line 1 "{source}"\n' + rewrite(source.read_text())
    if source.suffix == ".cu":
        text = '#include "cuda_emulator/launch.hpp"\n' + text
    if target.exists() and target.read_text() == text:
        return  # nor is it compiled anew
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


if __name__ == "__main__":
    main()
