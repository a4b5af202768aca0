"""What web servers answer: one table, for nginx and for the embedded server."""

from __future__ import annotations

from mirror import layout
from tests.serving.case import (
    POINTER,
    changed,
    found,
    lost,
    missing,
    no_method,
    not_allowed,
    nowhere,
    outside,
    part,
    refused,
    unchanged,
    whole,
)
from tests.serving.tree import (
    BLOB_SHA256,
    EMPTY_SHA256,
    FILES,
    LAST_MODIFIED,
    LETTERED,
    LONGEST_BRANCH,
    LONGEST_PACKAGE,
    LONGEST_VERSION,
    ODD_VERSION,
    UNKNOWN_SHA256,
    etag,
)

_MAIN = layout.max_version("app", "main")
_PLAIN = layout.get_version("app", "main", "1.0")
_ODD = layout.get_version("app", "main", ODD_VERSION)
_LONG = layout.get_version("app", "main", LONGEST_VERSION)
_BLOB = layout.blob(BLOB_SHA256)
_EMPTY = layout.blob(EMPTY_SHA256)
_TIMESTAMP = "metadata/timestamp.json"
_HASHED = layout.hashed_release_list("app", "main", BLOB_SHA256)


def _max(package: str, branch: str) -> str:
    return f"/maxVersion?package={package}&branch={branch}"


def _get(version: str, package: str = "app", branch: str = "main") -> str:
    return f"/getVersion?package={package}&branch={branch}&version={version}"


def _words(text: str) -> list[str]:
    return text.split()


def _encoded(text: str) -> str:
    """Percent-encode whatever may be, with capital and with small digits."""
    codes = {"+": "%2B", "-": "%2d", ".": "%2E", "_": "%5f", "~": "%7e"}
    return "".join(codes.get(character, character) for character in text)


SEED_ADDRESSES = [
    found("maxVersion", _max("app", "main"), _MAIN),
    found("maxVersion, HEAD", _max("app", "main"), _MAIN, method="HEAD"),
    found("maxVersion, branch first", "/maxVersion?branch=main&package=app", _MAIN),
    found("maxVersion ignores version", "/maxVersion?package=app&branch=main&version=%2F&version", _MAIN),
    found("getVersion", _get("1.0"), _PLAIN),
    found("getVersion, HEAD", _get("1.0"), _PLAIN, method="HEAD"),
    found("getVersion, version first", "/getVersion?version=1.0&branch=main&package=app", _PLAIN),
    found("64 hex digits may be a branch", _max("app", LETTERED), layout.max_version("app", LETTERED)),
    missing("unknown package", _max("app2", "main"), POINTER),
    missing("unknown branch", _max("app", "main2"), POINTER),
    missing("package in another case", _max("App", "main"), POINTER),
    missing("unknown version", _get("1.1")),
    missing("version spelled otherwise", _get("1.0.0")),
]

OTHER_PARAMETERS = [
    found("unknown parameters", "/maxVersion?x=%41&package=app&x=%&&y&branch=main&=&package2=b", _MAIN),
    found("unknown at the end", "/maxVersion?package=app&branch=main&", _MAIN),
    found("name in another case", "/maxVersion?Package=no&package=app&branch=main&BRANCH=no", _MAIN),
    found("name that ends alike", "/maxVersion?xpackage=no&package=app&branch=main&_branch=x", _MAIN),
    found("name that is encoded", "/maxVersion?%70ackage=no&package=app&branch=main", _MAIN),
    found("name in a value", "/maxVersion?x=package=no&package=app&branch=main", _MAIN),
    found("question mark in a value", "/maxVersion?x=?package=no&package=app&branch=main", _MAIN),
    found("parameters of a file", f"/{_MAIN}?package=no", _MAIN),
    refused("only in another case", "/maxVersion?Package=app&branch=main"),
    refused("after a second question mark", "/maxVersion?x?package=app&branch=main"),
    refused("separated by semicolon", "/maxVersion?package=app;branch=main"),
]

_ONCE = {"package": "app", "branch": "main", "version": "1.0"}


def _getting(name: str, *given: str) -> str:
    """Ask for getVersion with these in place of one parameter."""
    others = [f"{key}={value}" for key, value in _ONCE.items() if key != name]
    return "/getVersion?" + "&".join([*others, *given])


MISSING_EMPTY_REPEATED = [
    refused("no query", "/maxVersion"),
    refused("empty query", "/maxVersion?"),
    refused("no query for getVersion", "/getVersion"),
    *(
        refused(f"{name} {about}", _getting(name, *given))
        for name, value in _ONCE.items()
        for about, given in {
            "missing": [],
            "empty": [f"{name}="],
            "bare": [name],
            "repeated": [f"{name}={value}", f"{name}={value}"],
            "repeated, first empty": [f"{name}=", f"{name}={value}"],
            "repeated, last empty": [f"{name}={value}", f"{name}="],
            "repeated, first bare": [name, f"{name}={value}"],
            "repeated, last bare": [f"{name}={value}", name],
            "three times": [f"{name}={value}"] * 3,
            "repeated apart": [f"{name}={value}", "x=y", f"{name}=other"],
        }.items()
    ),
    refused("repeated around others", "/maxVersion?package=app&branch=main&package=app"),
    refused("repeated without end", "/maxVersion?branch=main" + "&package=app" * 300),
]

SPELLINGS = [
    *(
        found(f"{spelled} in a version", _get(f"1{spelled}0"), layout.get_version("app", "main", f"1{plain}0"))
        for plain, code in {"+": "2B", "-": "2D", ".": "2E", "_": "5F", "~": "7E"}.items()
        for spelled in (plain, f"%{code}", f"%{code.lower()}")
    ),
    found("all plain", _get(ODD_VERSION), _ODD),
    found("all encoded", _get(_encoded(ODD_VERSION)), _ODD),
    found("some encoded", _get("2%2e0~rc1%2Bb.1%2dx_y"), _ODD),
    found("package and branch encoded", _max("my%2dapp%5F2%2ex", "main"), "maxVersion/my-app_2.x/main.json"),
    found("longest version", _get(LONGEST_VERSION), _LONG),
    found("longest version encoded", _get(_encoded(LONGEST_VERSION)), _LONG),
    found(
        "longest names encoded",
        _get(_encoded(LONGEST_VERSION), _encoded(LONGEST_PACKAGE), _encoded(LONGEST_BRANCH)),
        layout.get_version(LONGEST_PACKAGE, LONGEST_BRANCH, LONGEST_VERSION),
    ),
    found("path encoded", "/" + _encoded(_ODD), _ODD),
    refused("version too long", _get(LONGEST_VERSION + "0")),
    refused("version too long, encoded", _get(_encoded(LONGEST_VERSION + "+"))),
    refused("package too long, encoded", _max(_encoded(LONGEST_PACKAGE + "_"), "main")),
]

OTHER_ENCODINGS = [
    refused(f"{spelled} in {where}", before + spelled + after)
    for spelled in [
        "%41", "%61", "%2F", "%2f", "%00", "%0A", "%0a", "%0D", "%20", "%25", "%252B", "%25%32%42", "%2C", "%5C", "%7F",
        "%C3%A9", "%e2%80%a4", "%u002B", "%", "%2", "%%2B", "%2G", "%zz", "%2B%", "%2B%2", "%2B%41", "%2B" * 40 + "%41",
    ]
    for where, (before, after) in {
        "package": ("/maxVersion?package=a", "b&branch=main"),
        "branch": ("/maxVersion?package=app&branch=main", ""),
        "version": ("/getVersion?package=app&branch=main&version=1", "0"),
        "version's end": ("/getVersion?package=app&branch=main&version=1.0", ""),
        "path": ("/getVersion/app/main/1", "0.json"),
        "path's end": ("/getVersion/app/main/1.0.json", ""),
    }.items()
]  # fmt: skip

_NOT_NAMES = _words(r"""
    . .. .app -app _app ~app a~b app. a/b /app app/ ../app app/../app a\b a+b + a=b a,b a* $arg_x ${uri} a:b a'b a"b
""")
_NOT_VERSIONS = _words(r". .. .1 +1 -1 ~1 _1 1/0 /1 ../1.0 1.0/../1.0 1.0/ 1,0 1:0 1=0 1\0 1*")

NOT_NAMES = [
    *(refused(f"package {word}", _max(word, "main")) for word in _NOT_NAMES),
    *(refused(f"branch {word}", _max("app", word)) for word in _NOT_NAMES),
    *(refused(f"version {word}", _get(word)) for word in _NOT_VERSIONS),
    refused("package too long", _max("a" * 129, "main")),
    refused("branch too long", _max("app", "a" * 129)),
    refused("branch that begins like the name of a list", _max("app", f"{LETTERED}.main")),
    refused("branch that begins so in capitals", _max("app", f"{'ABCDEF01' * 8}.main")),
    refused("branch that begins so, encoded", _max("app", f"{LETTERED}%2Emain")),
    refused("slash that makes up for a missing branch", "/maxVersion?package=app/main&branch="),
    refused("slash that makes up for a missing version", "/getVersion?package=app&branch=main/1.0&version="),
]

_FOLDERS = _words("""
    /transfers /transfers/
    /maxVersion/ /maxVersion/app /maxVersion/app/ /getVersion/app/main/ /otafiles /otafiles/ /packages /packages/app
    /releases /releases/app/ /index.html/
""")
_SLASHES = _words(f"""
    // //maxVersion?package=app&branch=main ///index.html /maxVersion//app/main.json //metadata/timestamp.json
    /packages// /packages//app/ /packages/app// /otafiles//{BLOB_SHA256} /maxVersion/?package=app&branch=main
""")

FILES_AND_FOLDERS = [
    *(found(f"file {path[:60]}", f"/{path}", path) for path in FILES),
    *(found(f"HEAD {path[:60]}", f"/{path}", path, method="HEAD") for path in (_BLOB, "index.html", _TIMESTAMP)),
    found("the page of the mirror", "/", "index.html"),
    found("the page of the mirror, with query", "/?x=%", "index.html"),
    found("the page of packages", "/packages/", "packages/index.html"),
    found("the page of a package", "/packages/app/", "packages/app/index.html"),
    found("absolute target", "http://mirror.test" + _max("app", "main"), _MAIN),
    found("absolute target with port", "http://mirror.test:80/", "index.html"),
    found("absolute target without path", "http://mirror.test", "index.html"),
    found("absolute target with IPv6", "http://[::1]/", "index.html"),
    found("absolute target with IPv6 and port", "http://[2001:db8::1]:80" + _max("app", "main"), _MAIN),
    found("a language", "/de/", "de/index.html"),
    found("a page in a language", "/pt-BR/packages/app/", "pt-BR/packages/app/index.html"),
    found("status", "/status/", "status/index.html"),
    lost("page of an unknown package", "/packages/app2/", POINTER),
    lost("page of an unknown package, by name", "/packages/app2/index.html", POINTER),
    lost("unknown feed", "/feeds/app2/main.atom", POINTER),
    lost("unknown status", "/status/x.json", POINTER),
    lost("unknown asset", "/assets/x.css", POINTER),
    lost("another language", "/fr/", POINTER),
    lost("folder of a language without slash", "/de"),
    missing("unknown highest release", "/maxVersion/app2/main.json", POINTER),
    missing("unknown list", "/releases/app2/main.json", POINTER),
    missing("unknown list under its hash", f"/releases/app/{UNKNOWN_SHA256}.main.json"),
    missing("unknown content", "/getVersion/app/main/9.9.json"),
    missing("unknown content, encoded", "/getVersion/app/main/9%2B9.json"),
    missing("unknown transfer", f"/transfers/{UNKNOWN_SHA256}"),
    missing("what is no transfer", "/transfers/x"),
    missing("unknown blob", f"/otafiles/{UNKNOWN_SHA256}"),
    missing("blob in capitals", f"/otafiles/{BLOB_SHA256.upper()}"),
    missing("blob with a slash", f"/{_BLOB}/"),
    missing("blob below a blob", f"/{_BLOB}/x"),
    missing("half a hash", f"/otafiles/{BLOB_SHA256[:32]}"),
    missing("what is no blob", "/otafiles/secret.json"),
    missing("unknown metadata", "/metadata/2.root.json"),
    missing("folder of metadata", "/metadata/"),
    missing("folder of metadata without slash", "/metadata"),
    lost("what is no part of a mirror", "/secret.json"),
    lost("what begins with a dot", "/.secret.json"),
    lost("a page that may never have been", "/a/b/c"),
    missing("half written file", "/maxVersion/app/.main.json.tmp"),
    missing("half written file, encoded", "/maxVersion/app/%2Emain.json.tmp"),
    missing("receiver's address", "/update"),
    lost("icon", "/favicon.ico"),
    missing("name too long for a file", f"/maxVersion/app/{'a' * 300}.json"),
    *(nowhere(f"folder {path}", path) for path in _FOLDERS),
    *(nowhere(f"slashes {path}", path) for path in _SLASHES),
    lost("what looks like a language", "/etc/passwd", POINTER),
    lost("address in another case", "/maxversion?package=app&branch=main"),
    lost("folder in another case", f"/OTAFILES/{BLOB_SHA256}"),
]

_STEPS = _words(rf"""
    /.. /../ /../secret.json /../../../../etc/passwd /./index.html /. /maxVersion/.. /maxVersion/../secret.json
    /otafiles/../secret.json /otafiles/../../secret.json /packages/../../secret.json /maxVersion/./app/main.json
    /%2e%2e/secret.json /%2E%2E/%2E%2E/etc/passwd /.%2e/secret.json /%2e./secret.json /otafiles/%2e%2e/secret.json
    /otafiles/..%2fsecret.json /otafiles/%2e%2e%2fsecret.json /otafiles/..%5csecret.json /%2fetc/passwd
    /otafiles/%252e%252e/secret.json /otafiles/%c0%ae%c0%ae/secret.json
    /maxVersion/../maxVersion?package=app&branch=main
    /%00 /otafiles/%00 /{_BLOB}%00 /metadata/timestamp.json%00.html
    http://mirror.test/../secret.json http://mirror.test/%2e%2e/secret.json secret.json ../secret.json .. * \secret.json
    ? ?package=app http:// # /index.html# /#/../secret.json /maxVersion?package=app&branch=main#x
""")
_NO_STEPS = _words(r"/... /otafiles/... /otafiles/..secret.json /otafiles/\..\secret.json /~root //etc/passwd")

TRAVERSAL = [
    *(refused(f"steps {path}", path) for path in _STEPS),
    *(nowhere(f"no steps {path}", path) for path in _NO_STEPS),
]

METHODS = [
    not_allowed(method, target)
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "BREW")
    for target in ("/", _max("app", "main"), "/maxVersion", f"/{_BLOB}", "/update", "/unknown")
] + [no_method(method) for method in ("get", "Get", "head", "put", "gET")]

CONDITIONS = [
    case
    for path in (_MAIN, _BLOB, _TIMESTAMP, "index.html")
    for case in (
        unchanged(f"same ETag of {path[:20]}", path, If_None_Match=etag(path)),
        unchanged(f"same time of {path[:20]}", path, If_Modified_Since=LAST_MODIFIED),
        whole(f"other ETag of {path[:20]}", path, If_None_Match='"6b033f8a-64"'),
        whole(f"other time of {path[:20]}", path, If_Modified_Since="Mon, 23 Nov 2026 06:59:59 GMT"),
    )
] + [
    unchanged("weak ETag, as after compression", _MAIN, If_None_Match=f"W/{etag(_MAIN)}"),
    unchanged("one of several ETags", _MAIN, If_None_Match=f'"x", {etag(_MAIN)} ,"y"'),
    unchanged("any ETag", _MAIN, If_None_Match="*"),
    unchanged("ETag before range", _BLOB, If_None_Match=etag(_BLOB), Range="bytes=0-9"),
    unchanged("both conditions", _MAIN, If_None_Match=etag(_MAIN), If_Modified_Since=LAST_MODIFIED),
    whole("empty ETag", _MAIN, If_None_Match=""),
    whole("ETag without quotes", _MAIN, If_None_Match=etag(_MAIN).strip('"')),
    whole("later time than that of the file", _MAIN, If_Modified_Since="Tue, 24 Nov 2026 07:00:00 GMT"),
    whole("no time", _MAIN, If_Modified_Since="yesterday"),
    whole("same ETag, other time", _MAIN, If_None_Match=etag(_MAIN), If_Modified_Since="Mon, 23 Nov 2026 06:59:59 GMT"),
    whole("other ETag, same time", _MAIN, If_None_Match='"x"', If_Modified_Since=LAST_MODIFIED),
    whole("demanded ETag", _BLOB, If_Match=f'"x", {etag(_BLOB)}'),
    whole("demanded time", _BLOB, If_Unmodified_Since=LAST_MODIFIED),
    whole("any demanded", _BLOB, If_Match="*"),
    changed("other ETag demanded", _BLOB, If_Match='"x"'),
    changed("weak ETag demanded", _BLOB, If_Match=f"W/{etag(_BLOB)}"),
    changed("earlier time demanded", _BLOB, If_Unmodified_Since="Mon, 23 Nov 2026 06:59:59 GMT"),
    changed("no time demanded", _BLOB, If_Unmodified_Since="yesterday"),
]

_OUTSIDE = _words("""
    1024- 5000- 5000-6000 -0 9-5 x - --1 1 1-x 0-1,x 0-1, ,0-1 0x1-2 +1-2 1_0-20 99999999999999999999-
""")

RANGES = [
    part("first bytes", 0, 10, Range="bytes=0-9"),
    part("one byte", 5, 6, Range="bytes=5-5"),
    part("from a byte on", 1000, 1024, Range="bytes=1000-"),
    part("all by range", 0, 1024, Range="bytes=0-"),
    part("past the end", 1000, 1024, Range="bytes=1000-5000"),
    part("far past the end", 1000, 1024, Range="bytes=1000-999999999999999999"),
    part("last bytes", 1014, 1024, Range="bytes=-10"),
    part("more than all last bytes", 0, 1024, Range="bytes=-5000"),
    part("with spaces", 1, 3, Range="BYTES= 1 - 2 "),
    part("one inside, one outside", 0, 2, Range="bytes=0-1,5000-"),
    part("HEAD", 0, 10, method="HEAD", Range="bytes=0-9"),
    part("if the ETag is the same", 0, 10, Range="bytes=0-9", If_Range=etag(_BLOB)),
    part("if the time is the same", 0, 10, Range="bytes=0-9", If_Range=LAST_MODIFIED),
    whole("range if another ETag", _BLOB, Range="bytes=0-9", If_Range='"x"'),
    whole("range if weak ETag", _BLOB, Range="bytes=0-9", If_Range=f"W/{etag(_BLOB)}"),
    whole("range if another time", _BLOB, Range="bytes=0-9", If_Range="Mon, 23 Nov 2026 06:59:59 GMT"),
    whole("range if nothing known", _BLOB, Range="bytes=0-9", If_Range="x"),
    whole("two ranges", _BLOB, Range="bytes=0-1,4-5"),
    whole("two ranges that are one", _BLOB, Range="bytes=0-9,10-19"),
    whole("a hundred ranges", _BLOB, Range="bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(100))),
    whole("no unit", _BLOB, Range="0-9"),
    whole("unknown unit", _BLOB, Range="lines=0-9"),
    whole("no range", _BLOB, Range="bytes="),
    whole("range of an empty blob", _EMPTY, Range="bytes=0-9"),
    whole("range of what is no blob", _HASHED, Range="bytes=0-9"),
    whole("range outside of what is no blob", _MAIN, Range="bytes=5000-"),
    *(outside(f"bytes={asked}", _BLOB) for asked in _OUTSIDE),
    outside("bytes=- 5", _BLOB),
    outside("bytes=2-", _EMPTY),
]

CASES = [
    *SEED_ADDRESSES,
    *OTHER_PARAMETERS,
    *MISSING_EMPTY_REPEATED,
    *SPELLINGS,
    *OTHER_ENCODINGS,
    *NOT_NAMES,
    *FILES_AND_FOLDERS,
    *TRAVERSAL,
    *METHODS,
    *CONDITIONS,
    *RANGES,
]
