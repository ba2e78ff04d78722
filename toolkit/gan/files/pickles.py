"""A pickle reader that can only build data.

A pickle is a program for a stack machine, and Python's unpickler imports and calls whatever the
program names. This one has no import and no getattr: a name in the file is looked up in a table the
caller gives, by exact (module, name), and only functions from that table are ever called. Opcodes
that real weight files never use are refused. Time and memory are bounded: a file may use MAX_STEPS
opcodes in all its streams together, and payloads stay in the file (`Span`) until they are read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BufferedIOBase
from typing import Any, NamedTuple

MAX_STEPS = 150_000  # opcodes; published networks of 1024 pixels take less than half
MAX_TEXT = 4096  # bytes; longer strings (the source code some files carry) are left unread
MAX_NAME = 256  # bytes of a global's module or name
MAX_INT = 16  # bytes
MAX_KEY = 1 << 63  # of an integer key; among larger ones, thousands can be chosen to collide in a dictionary
CHUNK = 8192  # bytes read at once


class Refused(Exception):
    """A file we do not read: what was expected, what was found, and how to fix it."""

    def __init__(self, expected: str, got: object, fix: str = "Check the file, or download it again") -> None:
        super().__init__(expected, got, fix)
        self.expected, self.got, self.fix = expected, got, fix


class Source:
    """An open binary file, and its remaining budget: `steps` (opcodes) and `unread` (bytes of tensors)."""

    def __init__(self, file: BufferedIOBase) -> None:
        self.file, self.size = file, file.seek(0, 2)
        self.steps, self.unread = MAX_STEPS, self.size

    def span(self) -> Span:
        """The whole file as a `Span`."""
        return Span(self, 0, self.size)


class Span(NamedTuple):
    """A range of bytes of a file, not read yet."""

    source: Source
    start: int
    size: int

    def part(self, start: int, size: int) -> Span:
        """Some of these bytes, as a Span; raises `Refused` where it does not lie within this one."""
        if start < 0 or size < 0 or start + size > self.size:
            raise Refused(f"{self.size} bytes to hold what they declare", f"{size} bytes from {start}")
        return Span(self.source, self.start + start, size)

    def read(self) -> bytes:
        """Read these bytes."""
        self.source.file.seek(self.start)
        return self.source.file.read(self.size)

    def read_into(self, buffer: memoryview) -> None:
        """Fill a writable buffer of `size` bytes; raises `Refused` once more bytes than the file has were read."""
        self.source.unread -= self.size
        if self.source.unread < 0:
            raise Refused("tensors that each have bytes of their own", "views that share them")
        self.source.file.seek(self.start)
        if self.source.file.readinto(buffer) != self.size:
            raise Refused(f"{self.size} bytes from {self.start}", "the end of the file")


class Global(NamedTuple):
    """What a name in the file resolves to: a value from the caller's table."""

    value: object


class Record:
    """An object the file describes: its kind, and its pickled state."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.state: Any = None


def check_kind(value: Any, kinds: tuple[type, ...], what: str) -> Any:
    """Return a value from a file, or raise `Refused` when its type is none of `kinds`.

    Call it before a value is hashed, compared or printed: on tuples nested like t = (t, t), a few bytes
    in a file, these take exponential time.
    """
    if type(value) not in kinds:
        raise Refused(what, f"a {type(value).__name__}")
    return value


def load(
    span: Span, allowed: dict[tuple[str, str], Any], persistent: Callable[[Any], Any] | None = None
) -> tuple[Any, int]:
    """Run one pickle.

    Args:
        span: `Span` that begins with the pickle.
        allowed: dict, (module, name) -> what it resolves to; the file may call functions in it.
        persistent: function that turns a persistent id into a value; None refuses them.
    Returns:
        (value, size): what the pickle builds, made of None, bool, int, float, str, tuple, list, dict (sets are
        lists), `Span` for bytes and long strings, and what `allowed` makes; and the pickle's length in bytes.
    Raises:
        Refused: anything else.
    """
    machine = _Machine(span, allowed, persistent)
    try:
        return machine.run()
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        raise Refused("a whole pickle", f"nonsense at byte {machine.position} ({type(error).__name__})") from error


class _Machine:
    def __init__(self, span, allowed, persistent):
        self.span, self.allowed, self.persistent = span, allowed, persistent
        self.position, self.chunk, self.chunk_start = 0, b"", 0
        self.stack, self.marks, self.memo = [], [], {}

    def run(self):
        source = self.span.source
        while source.steps > 0:
            source.steps -= 1
            code = self.take(1)
            if code == b".":
                return self.stack.pop(), self.position
            action = OPCODES.get(code)
            if action is None:
                raise Refused("opcodes that hold data", f"{code!r} at byte {self.position - 1}")
            action(self)
        raise Refused(f"at most {MAX_STEPS} opcodes", "more")

    # ---- bytes
    def take(self, size):
        at = self.position - self.chunk_start
        if at + size > len(self.chunk):
            size_read = min(max(size, CHUNK), self.span.size - self.position)
            self.chunk, self.chunk_start, at = self.span.part(self.position, size_read).read(), self.position, 0
            if len(self.chunk) < size:
                raise Refused("a whole pickle", f"its end at byte {self.span.size}")
        self.position += size
        return self.chunk[at : at + size]

    def number(self, format):
        return struct.unpack(format, self.take(struct.calcsize(format)))[0]

    def payload(self, size):
        part = self.span.part(self.position, size)
        self.position += size
        return part

    def text(self, size):
        return self.take(size).decode("utf-8", "surrogatepass") if size <= MAX_TEXT else self.payload(size)

    def line(self):
        found = bytearray()
        while (byte := self.take(1)) != b"\n":
            found += byte
            if len(found) > MAX_NAME:
                raise Refused(f"names of at most {MAX_NAME} bytes", "a longer one")
        return found.decode("utf-8")

    # ---- stack
    def push(self, value):
        self.stack.append(value)

    def top(self, kind):
        if type(self.stack[-1]) is not kind:
            raise TypeError(kind)
        return self.stack[-1]

    def mark(self):
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self):
        items, self.stack = self.stack, self.marks.pop()
        return items

    def tuple(self, size):
        items = [self.stack.pop() for _ in range(size)]
        self.stack.append(tuple(items[::-1]))

    def extend(self, items):
        self.top(list).extend(items)

    def update(self, items):
        target = self.top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str and not (type(key) is int and -MAX_KEY <= key < MAX_KEY):
                raise TypeError("key")
            target[key] = value

    def remember(self, index):
        self.memo[index] = self.stack[-1]

    # ---- objects
    def name(self, module, name):
        if type(module) is not str or type(name) is not str or (module, name) not in self.allowed:
            named = f"{module}.{name}" if type(module) is type(name) is str else "no name"
            raise Refused(
                "a weights file with names of data only",
                f"the name {named[:80]!r}",
                "Do not open it with anything that runs pickles, unless you trust its source",
            )
        self.push(Global(self.allowed[module, name]))

    def call(self):
        args, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Global or type(args) is not tuple or not callable(function.value):
            raise TypeError(function)
        self.push(function.value(*args))

    def build(self):
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Record):
            target.state = state
        elif type(target) is not dict:  # attributes of a dictionary are ignored: they hold no weights
            raise TypeError(target)

    def refer(self):
        if self.persistent is None:
            raise Refused("a pickle that stands alone", "a persistent id")
        self.push(self.persistent(self.stack.pop()))

    def integer(self):
        size = self.number("<B")
        if size > MAX_INT:
            raise Refused(f"integers of at most {MAX_INT} bytes", size)
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def stack_global(self):
        name, module = self.stack.pop(), self.stack.pop()
        self.name(module, name)


OPCODES = {
    b"\x80": lambda m: m.take(1),  # PROTO
    b"\x95": lambda m: m.take(8),  # FRAME
    b"(": _Machine.mark,
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"J": lambda m: m.push(m.number("<i")),
    b"\x8a": _Machine.integer,  # LONG1
    b"G": lambda m: m.push(m.number(">d")),
    b"\x8c": lambda m: m.push(m.text(m.number("<B"))),
    b"X": lambda m: m.push(m.text(m.number("<I"))),
    b"\x8d": lambda m: m.push(m.text(m.number("<Q"))),
    b"C": lambda m: m.push(m.payload(m.number("<B"))),
    b"B": lambda m: m.push(m.payload(m.number("<I"))),
    b"\x8e": lambda m: m.push(m.payload(m.number("<Q"))),
    b")": lambda m: m.push(()),
    b"\x85": lambda m: m.tuple(1),
    b"\x86": lambda m: m.tuple(2),
    b"\x87": lambda m: m.tuple(3),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"]": lambda m: m.push([]),
    b"a": lambda m: m.extend([m.stack.pop()]),
    b"e": lambda m: m.extend(m.since_mark()),
    b"}": lambda m: m.push({}),
    b"s": lambda m: m.update([m.stack.pop(), m.stack.pop()][::-1]),
    b"u": lambda m: m.update(m.since_mark()),
    b"\x8f": lambda m: m.push([]),  # EMPTY_SET
    b"\x90": lambda m: m.extend(m.since_mark()),  # ADDITEMS
    b"\x91": lambda m: m.push(m.since_mark()),  # FROZENSET
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"\x94": lambda m: m.remember(len(m.memo)),  # MEMOIZE
    b"h": lambda m: m.push(m.memo[m.number("<B")]),
    b"j": lambda m: m.push(m.memo[m.number("<I")]),
    b"c": lambda m: m.name(m.line(), m.line()),
    b"\x93": _Machine.stack_global,
    b"R": _Machine.call,  # REDUCE
    b"\x81": _Machine.call,  # NEWOBJ: the table's functions make objects either way
    b"b": _Machine.build,
    b"Q": _Machine.refer,  # BINPERSID
}
