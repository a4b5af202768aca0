"""mirror/content_schema.py: content.json as a JSON Schema, held against the rules themselves."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from builder import cli
from mirror import canonical, content, rules
from mirror.content_schema import schema
from tests.test_content import ACCEPTED, FULL, LEAST, MALFORMED, doc

DOCS = Path(__file__).parent.parent / "docs"
VALIDATOR = jsonschema.Draft202012Validator(schema())

# what docs/content.md says that a schema cannot express
BYTES = {"empty", "latin-1", "no-json", "trailing-comma", "two-objects"}
BEYOND = {
    "byte-order-mark",
    "utf-16",
    "repeated-key",
    "repeated-dependency",
    "exponent",
    "5000-digits",
    "lone-surrogate",
    "33-levels",
    "endless-levels",
    "remote-port",
    "remote-port-0",
    "remote-bracket",
    "dependency-on-itself",
}
EXPRESSIBLE = [(name, raw, key) for name, raw, key, _ in MALFORMED if name not in BYTES | BEYOND]

_words: dict[rules.Rule, list[str]] = {
    rules.name: ["a", "Z", "0", ".", "_", "-", "+", "/", "\u00e4", "a" * 64, "0" * 64, "b" * 127],
    rules.branch: ["a", ".", "-", "g", "0" * 63, "aF" * 32, "0" * 64],
    rules.version: ["a", "0", ".", "+", "~", "_", "-", ":", " ", "1" * 127],
    rules.sha256: ["aF", "0" * 62, "0" * 64, "g"],
    rules.version_range: [
        ">=",
        "<=",
        "<",
        ">",
        "==",
        "!=",
        "=",
        "!",
        "~=",
        "*",
        "1",
        "1.2",
        "v-",
        ",",
        " ",
        "\t",
        "\u00a0",
    ],
    rules.local: ["/", "a", ".", "..", "...", " ", "b.c", "~"],
    rules.remote: [
        "http",
        "HTTPS",
        "ftp",
        "://",
        "/",
        ":",
        "@",
        "a.b",
        "80",
        "?",
        "#",
        "[",
        "]",
        "::1",
        " ",
        "\\",
        "\u3000",
    ],
    rules.restore: ["/", "a", ".", "..", "...", " ", "b.c"],
}


def test_the_schema_is_a_schema() -> None:
    """Validators of its draft take it."""
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_published_schema_is_current() -> None:
    """docs/content.schema.json is what `otamirror schema` prints."""
    printed = CliRunner().invoke(cli.main, ["schema"]).stdout

    assert json.loads(printed) == schema()
    assert (DOCS / "content.schema.json").read_text() == printed


@pytest.mark.parametrize("raw", [*ACCEPTED, FULL.encode(), LEAST.encode()])
def test_what_is_accepted_is_valid(raw: bytes) -> None:
    """A publisher's pipeline refuses nothing that a mirror takes, in the canonical form neither."""
    VALIDATOR.validate(json.loads(raw))
    VALIDATOR.validate(json.loads(content.parse(raw).content.canonical()))


@pytest.mark.parametrize(("raw", "key"), [case[1:] for case in EXPRESSIBLE], ids=[case[0] for case in EXPRESSIBLE])
def test_what_a_schema_can_express_is_refused(raw: bytes, key: str) -> None:
    """The publisher's own tools find the mistake, at the same key."""
    errors = list(VALIDATOR.iter_errors(json.loads(raw)))

    assert errors
    assert all(key.startswith(str(next(iter(error.path), ""))) for error in errors)


def test_what_a_schema_cannot_express_is_only_that() -> None:
    """The list of exceptions has no case that the schema would refuse, nor one that does not exist."""
    raws = {name: raw for name, raw, _, _ in MALFORMED}

    assert raws.keys() >= BYTES | BEYOND
    for name in BEYOND - {"5000-digits", "endless-levels"}:
        assert VALIDATOR.is_valid(json.loads(raws[name])), name
    for name in BYTES | {"5000-digits", "endless-levels"}:
        with pytest.raises((ValueError, RecursionError)):
            json.loads(raws[name])
    assert len(EXPRESSIBLE) > 50


@pytest.mark.parametrize("rule", _words, ids=lambda rule: rule.__name__)
def test_a_pattern_judges_as_its_rule(rule: rules.Rule) -> None:
    """Of all that can be made of a few words, both take the same; that of a URL takes all that its rule takes."""
    longest = 4 if len(_words[rule]) <= 8 else 3
    texts = ("".join(words) for length in range(longest + 1) for words in product(_words[rule], repeat=length))
    judged = [(text, bool(re.search(f"^(?:{rules.PATTERNS[rule]})$", text)), rule(text) is None) for text in texts]

    assert [text for text, by_pattern, by_rule in judged if by_rule and not by_pattern] == []
    assert rule is rules.remote or [text for text, by_pattern, by_rule in judged if by_pattern and not by_rule] == []
    assert len({by_rule for _, _, by_rule in judged}) == 2


@pytest.mark.parametrize("url", ["http://:80", "http://", "https:///a", "http://a b", "http://a@b", "ftp://a", "a.b"])
def test_a_url_without_a_plain_host_is_refused(url: str) -> None:
    """Ports and addresses aside, the pattern of a URL knows what one is."""
    assert not VALIDATOR.is_valid({**json.loads(doc()), "remote": url})


def test_every_rule_has_its_pattern() -> None:
    """A rule that is added is not forgotten in the schema."""
    used = {known.rule for known in content.KEYS.values()} - {rules.anything}

    assert used | {rules.version_range} == rules.PATTERNS.keys() == _words.keys()


@pytest.mark.parametrize("key", ["x", "local", "description"])
def test_characters_are_judged_as_by_the_reader(key: str) -> None:
    """Newlines and tabs in texts for people and shells, no control characters anywhere else."""
    lines = [name for name, known in content.KEYS.items() if known.lines]
    for code in range(0x300):
        value = {**json.loads(doc()), key: f"/{chr(code)}a"}
        problems = canonical.decode(json.dumps(value).encode(), limit=content.MAX_BYTES, lines=lines)[1]
        if key == "local" and chr(code) == "/":  # is judged by its rule too
            continue
        assert VALIDATOR.is_valid(value) == (not problems), hex(code)


def test_keys_hold_no_control_characters() -> None:
    """At the top and below; other keys are free."""
    for extra, fits in (({"a b/\u00e4": {"": 1}}, True), ({"\t": 1}, False), ({"x": [{"\x07": 1}]}, False)):
        assert VALIDATOR.is_valid({**json.loads(doc()), **extra}) == fits


def test_every_key_has_a_valid_example() -> None:
    """What is shown as an example can be used."""
    examples = {key: told["examples"][0] for key, told in schema()["properties"].items()}

    assert examples.keys() == content.KEYS.keys()
    assert content.build(examples).warnings == ()
    VALIDATOR.validate(examples)


def test_defaults_are_those_of_the_reader() -> None:
    """What a key is without being said is what the mirror serves."""
    defaults = {key: told.get("default") for key, told in schema()["properties"].items()}
    served = content.parse(doc()).content.fields()

    assert {key: value for key, value in defaults.items() if value is not None} == {
        key: value for key, value in served.items() if key not in schema()["required"]
    }


def test_the_page_for_publishers_has_every_key() -> None:
    """docs/content.md lists the keys in their order, and its example is taken without a word."""
    text = (DOCS / "content.md").read_text()
    example = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0]

    assert re.findall(r"^\| `(\w+)`", text, re.MULTILINE) == list(content.KEYS)
    assert content.parse(example.encode()).warnings == ()
    VALIDATOR.validate(json.loads(example))
