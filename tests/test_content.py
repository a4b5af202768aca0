"""content.json (contract, section 2)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.canonical import Problem
from mirror.content import MAX_BYTES, Content, ContentError, ContentTooLarge, build, parse

SHA = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
NAME_RULE = "a letter or digit, then up to 127 letters, digits or any of . _ -, not ending in a dot"
REQUIRED = {"package": '"app"', "version": '"1.0"', "branch": '"main"', "sha256": f'"{SHA}"'}


def doc(more: str = "", **members: str | None) -> bytes:
    """Write a valid content.json with other members, given as JSON text; None leaves one out."""
    texts = {key: text for key, text in {**REQUIRED, **members}.items() if text is not None}
    listed = [f'"{key}": {text}' for key, text in texts.items()] + ([more] if more else [])
    return f"{{{', '.join(listed)}}}".encode()


def refusal(raw: bytes) -> ContentError:
    """Parse what must be refused."""
    with pytest.raises(ContentError) as caught:
        parse(raw)
    return caught.value


def test_the_least_content_is_filled_with_defaults() -> None:
    """Four keys are required; the others have the defaults of the contract."""
    parsed = parse(doc())

    assert parsed.content == Content(
        package="app",
        description="",
        version="1.0",
        branch="main",
        local="",
        remote="",
        sha256=SHA,
        before_update="",
        after_update="",
        dependencies={},
        restore="",
        extra={},
    )
    assert parsed.warnings == ()


RIGHT = {"package": "app", "version": "1.0", "branch": "main", "sha256": SHA}
MALFORMED = [
    # strict reading
    ("empty", b"", "", "is empty"),
    ("byte-order-mark", b"\xef\xbb\xbf" + doc(), "", "begins with a byte order mark"),
    ("utf-16", doc().decode().encode("utf-16"), "", "is UTF-16 or UTF-32"),
    ("latin-1", doc(description='"gr\xfcn"').decode().encode("latin-1"), "", "is not UTF-8: byte 0xfc"),
    ("no-json", b"package = 'app'", "", "is not JSON: "),
    ("trailing-comma", doc()[:-1] + b",}", "", "is not JSON: "),
    ("two-objects", doc() + doc(), "", "is not JSON: Extra data"),
    ("a-list", b"[" + doc() + b"]", "", "must be a JSON object, not a list"),
    ("a-string", b'"app"', "", "must be a JSON object, not a string"),
    ("repeated-key", doc('"version": "1.0"'), "version", "stands more than once"),
    ("repeated-dependency", doc(dependencies='{"b": "*", "b": "*"}'), "dependencies.b", "more than once"),
    ("nan", doc(x="NaN"), "x", "NaN is not an integer"),
    ("infinity", doc(x="[-Infinity]"), "x[0]", "-Infinity is not an integer"),
    ("fraction", doc(x='{"y": 0.5}'), "x.y", "0.5 is not an integer"),
    ("exponent", doc(x="1e3"), "x", "1e3 is not an integer"),
    ("large-integer", doc(x="9007199254740993"), "x", "9007199254740993 is not an integer"),
    ("5000-digits", doc(x="9" * 5000), "x", "… is not an integer"),
    ("lone-surrogate", doc(description='"\\ud800"'), "description", "half of a surrogate pair"),
    ("nul", doc(description='"\\u0000"'), "description", "control character U+0000"),
    ("escape-in-hook", doc(AfterUpdate='"\\u001b[2J"'), "AfterUpdate", "control character U+001B"),
    ("carriage-return", doc(BeforeUpdate='"true\\r\\n"'), "BeforeUpdate", "control character U+000D"),
    ("newline-in-path", doc(local='"/opt/a\\nb"'), "local", "control character U+000A"),
    ("tab-in-unknown-key", doc(x='"\\t"'), "x", "control character U+0009"),
    ("c1-control", doc(description='"\\u0085"'), "description", "control character U+0085"),
    ("33-levels", doc(x="[" * 32 + "]" * 32), "x" + "[0]" * 31, "is nested too deep"),
    ("endless-levels", doc(x="[" * 30_000 + "]" * 30_000), "", "is nested too deep"),
    # types
    ("package-null", doc(package="null"), "package", "must be a string, not null"),
    ("description-list", doc(description='["a"]'), "description", "must be a string, not a list"),
    ("version-integer", doc(version="2"), "version", "must be a string, not a number"),
    ("version-fraction", doc(version="1.2"), "version", "must be a string, not a number"),
    ("branch-boolean", doc(branch="true"), "branch", "must be a string, not a boolean"),
    ("hook-list", doc(BeforeUpdate='["/bin/true"]'), "BeforeUpdate", "must be a string, not a list"),
    ("dependencies-list", doc(dependencies='["b"]'), "dependencies", "must be an object, not a list"),
    ("dependencies-string", doc(dependencies='""'), "dependencies", "must be an object, not a string"),
    ("range-number", doc(dependencies='{"b": 1.2}'), "dependencies.b", "must be a string, not a number"),
    ("restore-object", doc(restore="{}"), "restore", "must be a string, not an object"),
    # required keys
    ("no-package", doc(package=None), "package", "is missing"),
    ("no-version", doc(version=None), "version", "is missing"),
    ("no-branch", doc(branch=None), "branch", "is missing"),
    ("no-sha256", doc(sha256=None), "sha256", "is missing"),
    # names
    ("package-empty", doc(package='""'), "package", "'' is not a name"),
    ("package-slash", doc(package='"a/b"'), "package", "'a/b' is not a name"),
    ("package-dots", doc(package='".."'), "package", "'..' is not a name"),
    ("package-hidden", doc(package='".app"'), "package", "'.app' is not a name"),
    ("package-ends-in-dot", doc(package='"app."'), "package", "'app.' is not a name"),
    ("package-percent", doc(package='"a%2fb"'), "package", "is not a name"),
    ("package-umlaut", doc(package='"gr\xfcn"'), "package", "'gr\xfcn' is not a name"),
    ("package-129", doc(package=f'"{"a" * 129}"'), "package", "is not a name"),
    ("branch-slash", doc(branch='"feature/x"'), "branch", "'feature/x' is not a name"),
    ("branch-like-a-hash", doc(branch=f'"{SHA}.x"'), "branch", "begins like the name of an immutable file"),
    # versions
    ("version-empty", doc(version='""'), "version", "'' is not a version"),
    ("version-space", doc(version='"1.0 beta"'), "version", "'1.0 beta' is not a version"),
    ("version-leading-dot", doc(version='".1"'), "version", "'.1' is not a version"),
    ("version-colon", doc(version='"1:2.0"'), "version", "'1:2.0' is not a version"),
    ("version-129", doc(version=f'"{"1" * 129}"'), "version", "is not a version"),
    # sha256
    ("sha256-short", doc(sha256=f'"{SHA[1:]}"'), "sha256", "is not a SHA-256"),
    ("sha256-no-hex", doc(sha256=f'"{SHA[1:]}g"'), "sha256", "is not a SHA-256"),
    ("sha256-empty", doc(sha256='""'), "sha256", "'' is not a SHA-256"),
    # local
    ("local-relative", doc(local='"opt/app"'), "local", "'opt/app' is not an absolute path"),
    ("local-home", doc(local='"~/app"'), "local", "'~/app' is not an absolute path"),
    ("local-root", doc(local='"/"'), "local", "is the root of the device's files"),
    ("local-dot-dot", doc(local='"/opt/../etc/passwd"'), "local", "has an empty segment, '.' or '..'"),
    ("local-ends-in-dot-dot", doc(local='"/opt/app/.."'), "local", "has an empty segment, '.' or '..'"),
    ("local-dot", doc(local='"/opt/./app"'), "local", "has an empty segment, '.' or '..'"),
    ("local-double-slash", doc(local='"//opt/app"'), "local", "has an empty segment, '.' or '..'"),
    ("local-ends-in-slashes", doc(local='"/opt/app//"'), "local", "has an empty segment, '.' or '..'"),
    # remote
    ("remote-no-scheme", doc(remote='"example.org"'), "remote", "'example.org' is not the http(s) URL"),
    ("remote-ftp", doc(remote='"ftp://example.org"'), "remote", "is not the http(s) URL"),
    ("remote-file", doc(remote='"file:///srv/mirror"'), "remote", "is not the http(s) URL"),
    ("remote-no-host", doc(remote='"https:///mirror"'), "remote", "is not the http(s) URL"),
    ("remote-user", doc(remote='"https://me:pw@example.org"'), "remote", "is not the http(s) URL"),
    ("remote-empty-user", doc(remote='"https://@example.org"'), "remote", "is not the http(s) URL"),
    ("remote-space", doc(remote='"https://example.org/a b"'), "remote", "is not the http(s) URL"),
    ("remote-wide-space", doc(remote='"https://example.org/\u3000"'), "remote", "is not the http(s) URL"),
    ("remote-backslash", doc(remote='"https://example.org\\\\a"'), "remote", "is not the http(s) URL"),
    ("remote-port", doc(remote='"https://example.org:99999"'), "remote", "is not the http(s) URL"),
    ("remote-port-0", doc(remote='"https://example.org:0"'), "remote", "is not the http(s) URL"),
    ("remote-bracket", doc(remote='"https://[::1"'), "remote", "is not the http(s) URL"),
    # dependencies
    ("dependency-name", doc(dependencies='{"a/b": "*"}'), "dependencies.'a/b'", "is not a name"),
    ("dependency-empty-range", doc(dependencies='{"b": ""}'), "dependencies.b", "range"),
    ("dependency-operator", doc(dependencies='{"b": "~=1.2"}'), "dependencies.b", "'~=1.2'"),
    ("dependency-on-itself", doc(dependencies='{"app": "*"}'), "dependencies.app", "is the package itself"),
    # restore
    ("restore-dot-dot", doc(restore='"../x.sh"'), "restore", "'../x.sh' leads out with '..'"),
    ("restore-inner-dot-dot", doc(restore='"/opt/../x.sh"'), "restore", "leads out with '..'"),
    ("restore-folder", doc(restore='"bin/"'), "restore", "'bin/' is a folder"),
]


@pytest.mark.parametrize(
    ("raw", "key", "fragment"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED]
)
def test_a_malformed_content_is_refused_with_its_key(raw: bytes, key: str, fragment: str) -> None:
    """Each rule, broken alone, gives exactly one problem: under its key, saying what is wrong."""
    [problem] = refusal(raw).problems

    assert problem.key == key
    assert fragment in problem.message


ACCEPTED = [
    doc(package=f'"{"a" * 128}"'),
    doc(package='"org.example.App_2-x"'),
    doc(branch=f'"{SHA}"'),
    doc(branch=f'"b-{SHA}.x"'),
    doc(version='"v2.1.3_20240227+git~5"'),
    doc(version=f'"{"1" * 128}"'),
    doc(description='"two\\n\\tlines, an \\u00e4 and a \\ud83d\\ude00"'),
    doc(BeforeUpdate='"set -e\\nsystemctl stop app\\n"'),
    doc(local='"/opt/app"'),
    doc(local='"/opt/app/"'),
    doc(local='"/opt/..app/a b"'),
    doc(remote='"http://[::1]:8080/mirror/"'),
    doc(remote='"HTTPS://updates.example.org"'),
    doc(dependencies='{"b": ">=1.2,<2", "c": "*", "d": "1.4", "APP": "!=1.5"}'),
    doc(restore='"/usr/local/lib/restore.sh"'),
    doc(restore='"bin/..restore.sh"'),
]


@pytest.mark.parametrize("raw", ACCEPTED)
def test_what_the_rules_allow_is_taken_without_a_word(raw: bytes) -> None:
    """The bounds of the rules are inside, and give no warnings."""
    parsed = parse(raw)

    assert parsed.warnings == ()
    assert {key: parsed.content.fields()[key] for key in json.loads(raw)} == json.loads(raw)


def test_all_problems_are_told_at_once() -> None:
    """One look is enough: the message names everything that is wrong, one a line, with what to do."""
    raw = (
        b'{"package": "my app", "versoin": "1.0", "branch": "feature/x", "local": "opt", "sha256": 5,'
        b' "BeforeUpdate": "\\u0007", "dependencies": {"b": 1.2, "c": "*", "c": "*"}, "x": [0.5]}'
    )

    refused = refusal(raw)

    assert str(refused).splitlines() == [
        f"package: 'my app' is not a name: {NAME_RULE} (use 'my-app')",
        "version: is missing ('versoin' stands there, is it that?)",
        f"branch: 'feature/x' is not a name: {NAME_RULE} (use 'feature-x')",
        "local: 'opt' is not an absolute path (begin it with a slash)",
        'sha256: must be a string, not a number (put it in quotes: "5")',
        'dependencies.b: must be a string, not a number (put it in quotes: "1.2")',
        "BeforeUpdate: holds the control character U+0007",
        "dependencies.c: stands more than once (keep one of them)",
        "x[0]: 0.5 is not an integer within ±2^53 (write other numbers as strings)",
    ]


def test_a_problem_of_the_whole_file_names_the_file() -> None:
    """Where there is no key to name, the line begins with content.json."""
    assert str(refusal(b"[]")) == "content.json: must be a JSON object, not a list"


def test_a_refusal_speaks_to_programs_too() -> None:
    """The error is a word, the detail the message, the problems a list."""
    assert refusal(doc(branch='"feature/x"', version=None)).as_json() == {
        "error": "content-invalid",
        "detail": f"version: is missing\nbranch: 'feature/x' is not a name: {NAME_RULE} (use 'feature-x')",
        "problems": [
            {"key": "version", "message": "is missing", "hint": ""},
            {
                "key": "branch",
                "message": f"'feature/x' is not a name: {NAME_RULE}",
                "hint": "use 'feature-x'",
            },
        ],
    }


@pytest.mark.parametrize(
    ("members", "hint"),
    [
        ({"branch": '"feature/x"'}, "use 'feature-x'"),
        ({"branch": '"refs/heads/main"'}, "use 'refs-heads-main'"),
        ({"package": '" app "'}, "use 'app'"),
        ({"package": '"///"'}, ""),
        ({"package": f'"{"a" * 129}"'}, ""),
        ({"version": '"1.0 beta"'}, "use '1.0-beta'"),
        ({"version": "1.10"}, 'put it in quotes: "1.10"'),
        ({"version": "2"}, 'put it in quotes: "2"'),
        ({"branch": "true"}, ""),
        ({"branch": None, "BRANCH": '"main"'}, "'BRANCH' stands there, is it that?"),
        ({"branch": None, "brnach": '"main"'}, "'brnach' stands there, is it that?"),
        ({"sha256": f'"{SHA} "'}, "these are 65 characters"),
        ({"dependencies": '"b"'}, 'such as {"other-package": ">=1.2"}'),
        ({"AfterUpdate": '"true\\r\\n"'}, "end lines with a line feed alone"),
    ],
)
def test_a_refusal_says_what_to_do(members: dict[str, str | None], hint: str) -> None:
    """Where there is one way out, the hint is that way; where there is none, nothing is made up."""
    [problem] = refusal(doc("", **members)).problems

    assert problem.hint == hint


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("beforeupdate", "did you mean 'BeforeUpdate'?"),
        ("before_update", "did you mean 'BeforeUpdate'?"),
        ("AfterUpdates", "did you mean 'AfterUpdate'?"),
        ("Dependencies", "did you mean 'dependencies'?"),
        ("desciption", "did you mean 'description'?"),
        ("licence", ""),
    ],
)
def test_an_unknown_key_is_a_warning_that_names_the_nearest_known_one(key: str, hint: str) -> None:
    """Newer keys pass; a misspelled one does not pass unseen."""
    parsed = parse(doc("", **{key: '"x"'}))

    assert parsed.content.extra == {key: "x"}
    assert parsed.warnings == (Problem(key, "is not known here; it is kept and served as it is", hint),)


@pytest.mark.parametrize("key", ["package", "branch", "version"])
@pytest.mark.parametrize("name", ["aux", "CON", "nul.1", "com1", "Lpt9.tar.gz", "prn"])
def test_a_name_that_windows_cannot_hold_is_a_warning(key: str, name: str) -> None:
    """It is taken: no device minds, but whoever copies the mirror on such a machine."""
    (warning,) = build({**RIGHT, key: name}).warnings

    assert (warning.key, "Windows" in str(warning)) == (key, True)


@pytest.mark.parametrize("name", ["auxiliary", "console", "com", "com10", "nul-1", "x.aux", "lptx"])
def test_a_name_that_only_begins_like_one_is_none(name: str) -> None:
    """Devices have whole names."""
    assert build({**RIGHT, "package": name}).warnings == ()


def test_warnings_without_end_are_cut_short() -> None:
    """A file full of unknown keys is taken, with as many warnings as a person would read."""
    parsed = parse(doc("", **{f"x{number}": "1" for number in range(5000)}))

    assert len(parsed.content.extra) == 5000
    assert [warning.key for warning in parsed.warnings][-2:] == ["x1087", ""]


def test_problems_without_end_are_cut_short() -> None:
    """Thousands of bad dependencies do not make a report of megabytes."""
    listed = ", ".join(f'"d{number}": "?"' for number in range(4000))

    problems = refusal(doc(dependencies=f"{{{listed}}}")).problems

    assert len(problems) == 101
    assert problems[-1].message == "there are more problems"


def test_upper_case_of_the_sha256_is_lowered() -> None:
    """Both spellings of a hash are the same content."""
    assert parse(doc(sha256=f'"{SHA.upper()}"')).content == parse(doc()).content


FULL = (
    '{"zeta": {"b": [1, {"z": 0, "a": 1}], "a": null}, "restore": "bin/restore.sh", "AfterUpdate": "systemctl start'
    ' app\\u000a", "BeforeUpdate": "", "dependencies": {"zlib": ">=1.2,<2", "base": "*"}, "sha256": "'
    + SHA.upper()
    + '", "remote": "https:\\/\\/example.org", "local": "/opt/app/", "branch": "main", "Alpha": 1, "version":'
    ' "1.0+b5", "description": "gr\\u00fcn \\ud83d\\ude00\\u2028 <a\\u0308>", "package": "app"}'
)
CANONICAL = (
    '{"package":"app","description":"gr\u00fcn \U0001f600\u2028 <a\u0308>","version":"1.0+b5","branch":"main",'
    '"local":"/opt/app/","remote":"https://example.org","sha256":"' + SHA + '","BeforeUpdate":"",'
    '"AfterUpdate":"systemctl start app\\n","dependencies":{"base":"*","zlib":">=1.2,<2"},'
    '"restore":"bin/restore.sh","Alpha":1,"zeta":{"a":null,"b":[1,{"a":1,"z":0}]}}\n'
)


LEAST = doc().decode()
CANONICAL_LEAST = (
    '{"package":"app","description":"","version":"1.0","branch":"main","local":"","remote":"",'
    f'"sha256":"{SHA}","BeforeUpdate":"","AfterUpdate":"","dependencies":{{}},"restore":""}}\n'
)


@pytest.mark.parametrize(("raw", "expected"), [(FULL, CANONICAL), (LEAST, CANONICAL_LEAST)], ids=["full", "least"])
def test_the_canonical_form_is_exactly_this(raw: str, expected: str) -> None:
    """Known keys in the contract's order, then the others; nested ones sorted; escapes only where needed."""
    parsed = parse(raw.encode()).content

    assert parsed.canonical() == expected.encode()
    assert parsed.digest == hashlib.sha256(expected.encode()).hexdigest()


def test_a_content_of_exactly_64_kib_is_taken() -> None:
    """The limit is itself inside, for what comes and for its canonical form alike."""
    rest = len(parse(doc()).content.canonical())
    raw = parse(doc(description=f'"{"x" * (MAX_BYTES - rest)}"')).content.canonical()

    assert len(raw) == 64 * 1024
    assert parse(raw).content.canonical() == raw


def test_a_content_of_64_kib_and_one_byte_is_refused() -> None:
    """A file that is too large is refused by its size alone, with the status for that."""
    with pytest.raises(ContentTooLarge, match="has 65537 bytes") as caught:
        parse(b"{" + b" " * MAX_BYTES)

    assert (caught.value.status_hint, caught.value.code) == (413, "content-too-large")


def test_a_content_whose_canonical_form_would_be_too_large_is_refused() -> None:
    """What is served can always be read again: defaults that were left out count too."""
    rest = len(parse(doc()).content.canonical())
    raw = doc(description=f'"{"x" * (MAX_BYTES - rest + 1)}"')

    with pytest.raises(ContentTooLarge, match="has 65537 bytes"):
        parse(raw)

    assert len(raw) < MAX_BYTES


def test_a_built_content_is_the_parsed_one() -> None:
    """The rules and the result are the same for an object as for a file."""
    assert build(json.loads(FULL)) == parse(FULL.encode())


@pytest.mark.parametrize(
    ("fields", "key", "fragment"),
    [
        ({"version": 1.5}, "version", "must be a string, not a number"),
        ({"x": float("nan")}, "x", "NaN is not an integer"),
        ({"description": "\udcff"}, "description", "half of a surrogate pair, U+DCFF"),
        ({"local": "/opt/\n"}, "local", "control character U+000A"),
        ({"description": ["x"]}, "description", "must be a string, not a list"),
    ],
)
def test_building_judges_as_strictly_as_parsing(fields: dict[str, Any], key: str, fragment: str) -> None:
    """What could not stand in a file cannot get in through a program either."""
    with pytest.raises(ContentError) as caught:
        build({"package": "app", "version": "1.0", "branch": "main", "sha256": SHA, **fields})

    [problem] = caught.value.problems
    assert problem.key == key
    assert fragment in problem.message


def test_characters_beyond_ascii_count_as_utf8_when_building() -> None:
    """A description that fits as UTF-8 is not refused for the length of its escapes."""
    fields = {"package": "app", "version": "1.0", "branch": "main", "sha256": SHA, "description": "漢" * 20_000}

    assert build(fields).content.description == "漢" * 20_000


def test_hostile_values_leave_the_message_printable() -> None:
    """What a stranger wrote is quoted, on one line, and cut."""
    raw = doc('"\\u001b[31m\\n": 1', package='"\\u202e/x"', branch=f'"/{"y" * 9000}"')

    lines = str(refusal(raw)).splitlines()

    assert len(lines) == 3
    assert all(line.isprintable() and len(line) < 300 for line in lines)


_names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,9}[A-Za-z0-9_-])?", fullmatch=True)
_line = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
_lines = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t"), max_size=8)
_known = st.fixed_dictionaries(
    {
        "package": _names.map("p{}".format),
        "version": st.from_regex(r"[0-9A-Za-z][0-9A-Za-z.+~_-]{0,9}", fullmatch=True),
        "branch": _names,
        "sha256": st.from_regex(r"[0-9a-fA-F]{64}", fullmatch=True),
    },
    optional={
        "description": _lines,
        "local": st.sampled_from(["", "/opt/a", "/srv/a b/"]),
        "remote": st.sampled_from(["", "https://example.org/m"]),
        "BeforeUpdate": _lines,
        "AfterUpdate": _lines,
        "dependencies": st.dictionaries(_names.map("d{}".format), st.sampled_from(["*", "1.2", ">=1,<2"]), max_size=3),
        "restore": st.sampled_from(["", "restore.sh", "/opt/restore.sh"]),
    },
)
_extra = st.dictionaries(
    _line.map("x{}".format),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _line,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_line, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)
_contents = st.tuples(_known, _extra).map(lambda parts: {**parts[0], **parts[1]})


@given(_contents)
def test_the_canonical_form_is_a_fixed_point(fields: dict[str, Any]) -> None:
    """Reading the canonical bytes gives the same content, and writing that gives the same bytes."""
    built = build(fields).content

    again = parse(built.canonical()).content

    assert again == built
    assert again.canonical() == built.canonical()


@given(_contents, st.randoms(use_true_random=False), st.booleans(), st.sampled_from([None, 0, 4]))
def test_how_a_content_is_written_does_not_matter(
    fields: dict[str, Any],
    random: Any,
    ascii_only: bool,  # noqa: FBT001 - hypothesis gives it
    indent: int | None,
) -> None:
    """Order of keys, white space and escapes change nothing: same content, same digest."""
    shuffled = dict(random.sample(sorted(fields.items()), len(fields)))
    raw = json.dumps(shuffled, ensure_ascii=ascii_only, indent=indent).encode()

    assert parse(raw).content.digest == build(fields).content.digest


@given(_contents)
def test_the_canonical_form_keeps_everything(fields: dict[str, Any]) -> None:
    """All that the publisher said is served; what was left out stands there with its default."""
    served = json.loads(build(fields).content.canonical())

    assert served == {
        **dict.fromkeys(("description", "local", "remote", "BeforeUpdate", "AfterUpdate", "restore"), ""),
        "dependencies": {},
        **fields,
        "sha256": fields["sha256"].lower(),
    }


def test_the_python_names_are_not_spelled_as_the_keys() -> None:
    """Keys that are spelled otherwise in JSON become ordinary attributes."""
    parsed = parse(doc(BeforeUpdate='"a"', AfterUpdate='"b"')).content

    assert (parsed.before_update, parsed.after_update, parsed.extra) == ("a", "b", {})
