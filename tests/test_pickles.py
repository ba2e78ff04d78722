"""The restricted pickle reader: it agrees with Python's on data, and can do nothing else."""

import collections
import io
import os
import pickle

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from toolkit.gan.files import pickles
from toolkit.gan.files.pickles import Record, Refused, Source, Span, load

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8) | st.floats(allow_nan=False)
data = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.integers(-9, 9), inner)
        | st.tuples(inner, inner)
        | st.tuples(inner)
    ),
    max_leaves=20,
)


def read(content, allowed=None, persistent=None):
    return load(Source(io.BytesIO(content)).span(), allowed or {}, persistent)[0]


@settings(max_examples=150, deadline=None)
@given(data, st.sampled_from([2, 3, 4, 5]))
def test_data_comes_back_as_python_reads_it(value, protocol):
    content = pickle.dumps(value, protocol)
    assert read(content) == value == pickle.loads(content)  # noqa: S301 our own


def test_bytes_and_long_strings_stay_in_the_file():
    content = pickle.dumps({"a": b"payload", "b": "x" * 5000, "c": "short"}, 4)
    found = read(content)
    assert isinstance(found["a"], Span) and found["a"].read() == b"payload"
    assert isinstance(found["b"], Span) and found["b"].read() == b"x" * 5000
    assert found["c"] == "short"


def test_names_stand_for_what_the_table_says_and_nothing_is_imported():
    table = {("collections", "OrderedDict"): lambda: {}, ("argparse", "Namespace"): lambda: Record("options")}
    found = read(pickle.dumps(collections.OrderedDict(a=1), 2), table)
    assert type(found) is dict and found == {"a": 1}
    # The name is in no module, so only the table can have given it.
    assert read(b"\x80\x02cargparse\nNamespace\n)\x81}X\x01\x00\x00\x00aK\x01sb.", table).state == {"a": 1}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_name_that_is_not_in_the_table_is_refused(protocol, tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    with pytest.raises(Refused) as refusal:
        read(pickle.dumps([Harm()], protocol))
    assert "mkdir" in refusal.value.got and not (tmp_path / "harm").exists()


def test_tables_match_exactly():
    table = {("collections", "OrderedDict"): lambda: {}}
    for name in (b"collections.\nOrderedDict", b"collections\nOrderedDict.update", b"collections \nOrderedDict"):
        with pytest.raises(Refused):
            read(b"\x80\x02c" + name + b"\n)R.", table)


def test_only_functions_of_the_table_are_called():
    with pytest.raises(Refused):
        read(b"\x80\x02ca\nb\n)R.", {("a", "b"): 3})
    with pytest.raises(Refused):  # a value the table's function gave is not callable from the file
        read(b"\x80\x02ca\nb\n)R)R.", {("a", "b"): lambda: os.getcwd})


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(sorted(pickles.OPCODES)) | st.binary(max_size=3), max_size=30))
def test_any_program_is_read_or_refused(program):
    try:
        read(b"".join(program) + b".", {("a", "b"): lambda *args: Record("x", *args)}, lambda pid: pid)
    except Refused:
        pass


def test_all_streams_of_a_file_share_its_steps():
    source = Source(io.BytesIO(b"\x80\x04" + b"N" * (pickles.MAX_STEPS // 2) + b"."))
    load(source.span(), {})
    with pytest.raises(Refused) as refusal:
        load(source.span(), {})
    assert "opcodes" in refusal.value.expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80",
        b"\x80\x04",
        b"\x80\x04.",
        b"\x80\x040.",
        b"I1\n.",
        b"\x80\x04]q\x00}h\x00Ns.",
        b"\x80\x04\x8e" + b"\xff" * 8,
        b"\x80\x04X\xff\xff\xff\xff",
        b"\x80\x04\x8a\xff" + b"1" * 255 + b".",
        b"\x80\x04h\x07.",
        b"\x80\x04Ne.",
        b"\x80\x04}(K\x01u.",
        b"\x80\x04\x8c\x01\xff.",
        b"\x80\x02cx\xff\ny\n.",
    ],
)
def test_nonsense_is_refused(content):
    with pytest.raises(Refused):
        read(content)


def test_a_part_lies_within_its_span():
    span = Source(io.BytesIO(b"0123456789")).span().part(2, 5)
    assert span.read() == b"23456" and span.part(1, 2).read() == b"34"
    for start, size in ((0, 6), (-1, 2), (5, 1), (1, -1)):
        with pytest.raises(Refused):
            span.part(start, size)


def test_bytes_for_tensors_are_given_out_about_once():
    span = Source(io.BytesIO(b"0123456789")).span()
    span.read_into(bytearray(10))
    with pytest.raises(Refused):
        span.part(0, 1).read_into(bytearray(1))
