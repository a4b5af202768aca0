"""Strict JSON in, canonical JSON out (contract, section 2)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror import canonical
from mirror.canonical import OddNumber, Problem, decode, encode

LIMIT = 1000


def report(raw: bytes, *, limit: int = LIMIT, depth: int = 32) -> list[str]:
    """Decode and give the problems as a person sees them."""
    _, problems = decode(raw, limit=limit, depth=depth)
    return [str(problem) for problem in problems]


def test_plain_values_come_out_as_they_are() -> None:
    """Every type that the contract takes is decoded to Python's own."""
    raw = b' {"a": "x", "b": -1, "c": [true, false, null], "d": {"e": {}}}\n'

    value, problems = decode(raw, limit=LIMIT)

    assert (value, problems) == ({"a": "x", "b": -1, "c": [True, False, None], "d": {"e": {}}}, [])


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "is empty (a JSON object is needed)"),
        (b" \n\t", "is empty (a JSON object is needed)"),
        (b'\xef\xbb\xbf{"a": 1}', "begins with a byte order mark (save it as UTF-8 without BOM)"),
        ('{"a": 1}'.encode("utf-16"), "is UTF-16 or UTF-32, not UTF-8 (save it as UTF-8)"),
        ('{"a": 1}'.encode("utf-16-le"), "is UTF-16 or UTF-32, not UTF-8 (save it as UTF-8)"),
        ('{"a": 1}'.encode("utf-16-be"), "is UTF-16 or UTF-32, not UTF-8 (save it as UTF-8)"),
        ('{"a": 1}'.encode("utf-32-be"), "is UTF-16 or UTF-32, not UTF-8 (save it as UTF-8)"),
        ('{"a": "ä"}'.encode("latin-1"), "is not UTF-8: byte 0xe4 at offset 7 (save it as UTF-8)"),
        (b'{"a": "\xed\xa0\x80"}', "is not UTF-8: byte 0xed at offset 7 (save it as UTF-8)"),
        (b'{"a": "\xc0\x80"}', "is not UTF-8: byte 0xc0 at offset 7 (save it as UTF-8)"),
        (b'[{"a": 1}]', "must be a JSON object, not a list"),
        (b'"a"', "must be a JSON object, not a string"),
        (b"1.5", "must be a JSON object, not a number"),
        (b"true", "must be a JSON object, not a boolean"),
        (b"null", "must be a JSON object, not null"),
    ],
)
def test_what_is_no_json_object_in_utf8_is_refused(raw: bytes, problem: str) -> None:
    """Bytes that are not UTF-8, and what is not an object, get one problem that says what they are."""
    value, problems = decode(raw, limit=LIMIT)

    assert (value, [str(found) for found in problems]) == ({}, [problem])


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b'{"a": 1 "b": 2}', "line 1, column 9"),
        (b'{"a": 1}\n{}', "line 2, column 1"),
        (b"{'a': 1}", "line 1, column 2"),
        (b'{"a": 01}', "line 1, column 8"),
        (b'{"a": +1}', "line 1, column 7"),
        (b'{"a": .5}', "line 1, column 7"),
        (b'{"a": 0x10}', "line 1, column 8"),
        (b'{"a": 1} // why', "line 1, column 10"),
        (b'{"a": "\\x41"}', "line 1, column 8"),
        (b'{"a": "x', "line 1, column 7"),
        (b'{"a": undefined}', "line 1, column 7"),
        (b'{"a":\xc2\xa01}', "line 1, column 6"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(raw: bytes, place: str) -> None:
    """A syntax error is told with line and column."""
    value, [problem] = decode(raw, limit=LIMIT)

    assert (value, problem.key) == ({}, "")
    assert problem.message.startswith("is not JSON: ")
    assert problem.message.endswith(f" at {place}")


def test_a_raw_line_end_in_a_string_is_refused_with_the_way_to_write_it() -> None:
    """The most frequent error of people who write scripts into JSON has its own hint."""
    assert report(b'{"a": "x\ny"}') == [
        "is not JSON: Invalid control character at line 1, column 9 (inside a string, a line end is written \\n)"
    ]


@pytest.mark.parametrize("number", ["9007199254740992", "-9007199254740992", "0", "-1"])
def test_integers_up_to_2_to_the_53_are_taken(number: str) -> None:
    """The bounds themselves are inside."""
    assert decode(f'{{"a": {number}}}'.encode(), limit=LIMIT) == ({"a": int(number)}, [])


@pytest.mark.parametrize(
    "number",
    [
        "9007199254740993",
        "-9007199254740993",
        "99999999999999999999",
        "1.5",
        "1.0",
        "-0.0",
        "1e3",
        "1E400",
        "NaN",
        "Infinity",
        "-Infinity",
    ],
)
def test_other_numbers_are_refused(number: str) -> None:
    """What parsers read as different numbers, or not at all, is refused and shown as it was written."""
    value, problems = decode(f'{{"a": {number}}}'.encode(), limit=LIMIT)

    assert value == {"a": OddNumber(number)}
    assert [str(problem) for problem in problems] == [
        f"a: {number} is not an integer within ±2^53 (write other numbers as strings)"
    ]


def test_an_integer_of_5000_digits_is_a_problem_like_any_other() -> None:
    """Python's own limit for digits does not surface, and the message stays short."""
    [problem] = report(b'{"a": %s}' % (b"9" * 5000), limit=6000)

    assert problem == f"a: {'9' * 60}… is not an integer within ±2^53 (write other numbers as strings)"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', "a: stands more than once (keep one of them)"),
        (b'{"a": 1, "\\u0061": 1}', "a: stands more than once (keep one of them)"),
        (b'{"x": [{"a": {"b": 1, "b": 1}}]}', "x[0].a.b: stands more than once (keep one of them)"),
        (b'{"a": "\\u0000"}', "a: holds the control character U+0000"),
        (b'{"a": "\\n"}', "a: holds the control character U+000A"),
        (b'{"a": "\\r\\n"}', "a: holds the control character U+000D (end lines with a line feed alone)"),
        (b'{"a": "x\x7f"}', "a: holds the control character U+007F"),
        ('{"a": "\x85"}'.encode(), "a: holds the control character U+0085"),
        (b'{"a": "\\ud800"}', "a: holds half of a surrogate pair, U+D800 (write whole characters)"),
        (b'{"a": "\\udc00\\ud800"}', "a: holds half of a surrogate pair, U+DC00 (write whole characters)"),
        (b'{"a": [0, {"b c": "\\t"}]}', "a[1].'b c': holds the control character U+0009"),
        (b'{"a": {"\\u001b[2J": 1}}', "a.'\\x1b[2J': the key holds the control character U+001B"),
        (b'{"\\udfff": 1}', "'\\udfff': the key holds half of a surrogate pair, U+DFFF (write whole characters)"),
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(raw: bytes, problem: str) -> None:
    """Repeated keys, control characters and lone surrogates are told with their path, at any depth."""
    assert report(raw) == [problem]


def test_whole_surrogate_pairs_are_characters() -> None:
    """An escaped pair is the character that it spells."""
    assert decode(b'{"a": "\\ud83d\\ude00"}', limit=LIMIT) == ({"a": "😀"}, [])


def test_lines_are_allowed_where_the_caller_says() -> None:
    """Newline and tab pass in the strings of the named top keys, and nowhere else; other controls never do."""
    raw = b'{"a": "x\\n\\ty", "b": "\\n", "c": {"a": "\\t"}, "d": "\\n\\r"}'

    _, problems = decode(raw, limit=LIMIT, lines=("a", "d"))

    assert [(problem.key, problem.message) for problem in problems] == [
        ("b", "holds the control character U+000A"),
        ("c.a", "holds the control character U+0009"),
        ("d", "holds the control character U+000D"),
    ]


def test_a_file_of_exactly_the_limit_is_taken() -> None:
    """The limit counts bytes, and is itself inside."""
    raw = '{"a": "ä"}'.encode()

    assert report(raw, limit=len(raw)) == []
    assert report(raw, limit=len(raw) - 1) == ["has 11 bytes, which is too large (at most 10 bytes)"]


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"x":', "}")])
def test_nesting_counts_the_object_at_the_top(opening: str, closing: str) -> None:
    """With a depth of 4, three levels fit below the top; of what is deeper, the place is told."""
    fits = f'{{"a":{opening * 3}1{closing * 3}}}'
    deeper = f'{{"a":{opening * 4}1{closing * 4}}}'
    path = "a" + {"[": "[0]", '{"x":': ".x"}[opening] * 3

    assert report(fits.encode(), depth=4) == []
    assert report(deeper.encode(), depth=4) == [
        f"{path}: is nested too deep (at most 4 levels, the object at the top is the first)"
    ]


def test_nesting_beyond_the_interpreter_is_a_problem_like_any_other() -> None:
    """A hundred thousand brackets end in a sentence, not in a traceback."""
    raw = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

    assert report(raw, limit=len(raw)) == ["is nested too deep (at most 32 levels, the object at the top is the first)"]


def test_all_problems_are_told_at_once() -> None:
    """Whatever can be parsed is judged to its end."""
    raw = b'{"a": 1.5, "b": ["\\u0007", {"c": NaN, "c": 2, "d": "\\ud800"}], "e": "\\n", "e": 1e5}'

    _, problems = decode(raw, limit=LIMIT)

    assert [problem.key for problem in problems] == ["e", "a", "b[0]", "b[1].c", "b[1].d", "e"]


def test_thousands_of_problems_are_cut_short() -> None:
    """A small file cannot make a report without bounds."""
    _, problems = decode(b'{"a": [' + b"1.5," * 2000 + b"1]}", limit=10_000)

    assert len(problems) == canonical.MAX_PROBLEMS + 1
    assert problems[-1] == Problem("", "there are more problems", "mend these 100 first")


def test_exactly_as_many_problems_as_are_told_end_without_a_remark() -> None:
    """Nothing is said to be missing when nothing is."""
    _, problems = decode(b'{"a": [' + b"1.5," * 100 + b"1]}", limit=10_000)

    assert problems[-1].key == "a[99]"


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("foo", "top.foo"),
        ("org.example_app-2", "top.org.example_app-2"),
        ("", "top.''"),
        ("a b", "top.'a b'"),
        ("\u202eevil", "top.'\\u202eevil'"),
        ("x" * 500, f"top.'{'x' * 60}…'"),
    ],
)
def test_paths_are_safe_to_print(key: str, path: str) -> None:
    """Names stand as they are; whatever could deceive a terminal is quoted, and long ones are cut."""
    assert canonical.join("top", key) == path


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, b"{}\n"),
        ({"b": 1, "a": [1, 2, {"d": 1, "c": {}}]}, b'{"a":[1,2,{"c":{},"d":1}],"b":1}\n'),
        ({"a": "ü€😀"}, '{"a":"ü€😀"}\n'.encode()),
        ({"a": "a\u0308"}, '{"a":"a\u0308"}\n'.encode()),
        ({"a": "/<>&'\u2028"}, '{"a":"/<>&\'\u2028"}\n'.encode()),
        ({"a": '\\"\n\t'}, b'{"a":"\\\\\\"\\n\\t"}\n'),
        ({"a": True, "b": None, "c": -1, "d": []}, b'{"a":true,"b":null,"c":-1,"d":[]}\n'),
        ({"\uffff": 1, "😀": 2, "Z": 3, "a": 4}, '{"Z":3,"a":4,"\uffff":1,"😀":2}\n'.encode()),
    ],
)
def test_the_canonical_form_is_the_one_that_is_written_down(value: dict[str, object], expected: bytes) -> None:
    """Sorted by code point at every level, no needless escapes, no normalisation, one final newline."""
    assert encode(value) == expected


def test_given_keys_come_first_in_the_given_order() -> None:
    """Of the keys in the order those that are there lead; the others follow sorted, nested ones are sorted."""
    value = {"z": {"version": 1, "package": 2}, "a": 1, "version": "1", "package": "p", "m": 0}

    raw = encode(value, ("package", "branch", "version"))

    assert raw == b'{"package":"p","version":"1","a":1,"m":0,"z":{"package":2,"version":1}}\n'


def test_what_is_not_json_is_not_encoded() -> None:
    """A wrong value in the program is an error, not a file that nobody can read."""
    with pytest.raises(ValueError, match="JSON compliant"):
        encode({"a": float("nan")})


def test_the_digest_is_sha256() -> None:
    """Known bytes have the known hash."""
    assert canonical.digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_texts, _values, max_size=5))
def test_what_was_encoded_decodes_to_the_same(value: dict[str, object]) -> None:
    """Encoding loses nothing, and encoding again changes nothing."""
    raw = encode(value)

    assert decode(raw, limit=len(raw)) == (value, [])
    assert encode(json.loads(raw)) == raw


@given(st.dictionaries(_texts, _values, max_size=5), st.booleans(), st.sampled_from([None, 0, 3]))
def test_spelling_does_not_matter(value: dict[str, object], ascii_only: bool, indent: int | None) -> None:  # noqa: FBT001 - hypothesis gives it
    """However the same value was spaced, escaped and ordered, its canonical bytes are the same."""
    shuffled = dict(reversed(value.items()))
    raw = json.dumps(shuffled, ensure_ascii=ascii_only, indent=indent).encode()

    decoded, _ = decode(raw, limit=len(raw))

    assert encode(decoded) == encode(value)


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:\\u0d8 \n1e.-NIn', max_size=40).map(str.encode))
def test_any_bytes_end_in_a_value_or_a_problem(raw: bytes) -> None:
    """Whatever comes, no error of the interpreter comes out."""
    value, problems = decode(raw, limit=LIMIT)

    assert problems or raw.strip().startswith(b"{")
    assert isinstance(value, dict)
