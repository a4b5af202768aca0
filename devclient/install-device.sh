#!/bin/sh
# Set up otadevice on this device: its Python environment, its settings, the units of systemd.
#
# It looks at everything before it changes anything, and may be run again: it then brings otadevice up to date and
# keeps the settings. What it began and cannot finish, it removes.
set -euf

usage() {
    cat <<'END'
Set up otadevice on this device, or bring it up to date.

  sh install-device.sh --package otamirror-1.0-py3-none-any.whl --remote https://updates.example.org --root root.json

Options:
  --remote URL        of the mirror; repeat it for further URLs of the same mirror
  --root FILE         root of the mirror, in which all trust begins; or its URL, with --root-sha256
  --root-sha256 HEX   SHA-256 that the root must have
  --device NAME       name of this device; without it, its host name
  --prefix DIR        where otadevice goes, a folder of its own [/opt/otadevice]
  --config FILE       its settings [/etc/otadevice/otadevice.toml]
  --units DIR         folder of systemd's units [/etc/systemd/system]
  --package SPEC      what is installed: a wheel, or a requirement as pip knows it; without it, the wheel beside this
                      script, if there is one. Of a name, take care that it is yours where pip looks for it
  --package-sha256 HEX  SHA-256 that the wheel must have
  --constraints FILE  versions and hashes of all that is installed, as `pip-compile --generate-hashes` writes them: pip
                      takes nothing else (--require-hashes)
  --no-start          start nothing now, only when this device boots: for an image of many devices
  --help              show this

Where the settings are there already they stay as they are, and --remote and --root are not needed.
END
}

say() { printf '%s\n' "$*"; }
fail() {
    printf 'install-device.sh: %s\n' "$*" >&2
    exit 1
}
misused() {
    printf 'install-device.sh: %s; --help shows what there is\n' "$*" >&2
    exit 2
}
absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac }

# --- what is wanted

default_units=/etc/systemd/system
remotes='' root='' root_sha256='' device='' units='' start=yes
prefix=/opt/otadevice
config=/etc/otadevice/otadevice.toml
package='' package_sha256='' constraints=''

while [ $# -gt 0 ]; do
    case $1 in
    --help)
        usage
        exit 0
        ;;
    --no-start)
        start=no
        shift
        continue
        ;;
    --remote | --root | --root-sha256 | --device | --prefix | --config | --units) ;;
    --package | --package-sha256 | --constraints) ;;
    *) misused "$1 is not known" ;;
    esac
    [ -n "${2:-}" ] || misused "$1 needs a value"
    case $1 in
    --remote)
        case $2 in
        *[[:space:]]*) misused "--remote $2 is not the URL of a mirror" ;;
        http://?* | https://?*) remotes="$remotes $2" ;;
        *) misused "--remote $2 is not the URL of a mirror" ;;
        esac
        ;;
    --root) root=$2 ;;
    --root-sha256) root_sha256=$2 ;;
    --device) device=$2 ;;
    --prefix) prefix=$(absolute "$2") ;;
    --config) config=$(absolute "$2") ;;
    --units) units=$(absolute "$2") ;;
    --package) package=$2 ;;
    --package-sha256) package_sha256=$2 ;;
    --constraints) constraints=$(absolute "$2") ;;
    esac
    shift 2
done

if [ ! -e "$config" ]; then
    [ -n "$remotes" ] || misused "--remote is missing, the URL of the mirror"
    [ -n "$root" ] || misused "--root is missing, the file that 'otamirror keys export-root' writes on the mirror"
fi
case $root in
http://* | https://*) [ -n "$root_sha256" ] || misused "a root from a URL needs --root-sha256: else anybody could send one" ;;
esac

# never a name by itself: where pip looks for it, it may be anybody's
beside() {
    set +f
    set -- "$(dirname -- "$0")"/otamirror-*.whl
    set -f
    [ $# -eq 1 ] && [ -f "$1" ] && printf '%s' "$1"
}
if [ -z "$package" ] && [ -z "$constraints" ]; then
    case $0 in */install-device.sh | install-device.sh) package=$(beside) || package='' ;; esac
    [ -n "$package" ] || misused "--package is missing, the wheel of otamirror or its name: no wheel lies beside this script"
fi
wheel=''
case $package in
http://*.whl | *@*http://*) [ -n "$package_sha256" ] || misused "a wheel from http:// needs --package-sha256: else anybody could send one" ;;
*://*) ;;
*/* | *.whl | *.whl"[device]")
    package=$(absolute "${package%"[device]"}")
    [ -e "$package" ] || fail "$package: there is no such file"
    [ -d "$package" ] || wheel=$package
    package="${package}[device]"
    ;;
esac
case $package in
*://*) [ -z "$package_sha256" ] || package="$package#sha256=$package_sha256" ;;
*) [ -z "$package_sha256" ] || [ -n "$wheel" ] || misused "--package-sha256 is for a wheel; --constraints pins what has a name" ;;
esac
if [ -n "$constraints" ]; then
    [ -z "$package" ] || [ -n "$wheel" ] ||
        misused "with --constraints, --package is a wheel, or is left out where the file pins otamirror[device] too"
    [ -f "$constraints" ] || fail "$constraints: there is no such file"
fi

# --- what is here

# the folder itself, or the one in which it would be made
writable() {
    place=$1
    while [ ! -e "$place" ]; do place=$(dirname -- "$place"); done
    if [ ! -d "$place" ] || [ ! -w "$place" ]; then fail "$place may not be written to: run this as root"; fi
}
writable "$prefix"
# a release of otadevice that is a package of its own is not changed from outside
if [ -L "$prefix" ]; then
    fail "$prefix is a link: if otadevice keeps itself up to date there, it does so by itself; give another --prefix"
fi
writable "$(dirname -- "$config")"
if [ -e "$prefix" ] && [ ! -e "$prefix/pyvenv.cfg" ] && [ -n "$(ls -A -- "$prefix")" ]; then
    fail "$prefix is there and was not made by this script: give another --prefix, or remove it"
fi
if [ -n "$units" ] || [ -d "$default_units" ]; then
    units=${units:-$default_units}
    [ -d "$units" ] || fail "$units is no folder: make it, or give another --units"
    writable "$units"
fi

apt_install() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        fail "$1 is missing: install it first, on Debian as root by apt-get install $1"
    fi
    say "installing $1 ..."
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends "$1" >/dev/null; } ||
        fail "apt-get could not install $1: see above"
}

scratch='' made=''
clean() {
    [ -z "$scratch" ] || rm -rf -- "$scratch"
    [ -z "$made" ] || rm -rf -- "$made"
}
trap clean EXIT
trap 'exit 1' HUP INT TERM
scratch=$(mktemp -d)

# even the root is looked at by Python, so this comes first; -I, because nothing in the current folder is Python's
command -v python3 >/dev/null || apt_install python3
python3 -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "otadevice needs Python 3.11 or later as python3"

if [ -n "$root" ]; then
    python3 -I - "$root" "$root_sha256" "$scratch/root.json" <<'END' || fail "nothing was changed"
import hashlib, json, pathlib, sys, urllib.request

source, wanted, copy = sys.argv[1:]
most = 1 << 20
try:
    if source.startswith(("http://", "https://")):
        with urllib.request.urlopen(source, timeout=60) as answer:
            data = answer.read(most)
    else:
        with open(source, "rb") as file:
            data = file.read(most)
except (OSError, ValueError) as error:
    sys.exit(f"install-device.sh: {source} cannot be read: {error}")
found = hashlib.sha256(data).hexdigest()
if wanted and found != wanted.lower():
    sys.exit(f"install-device.sh: {source} has the SHA-256 {found}, not {wanted}: ask the mirror's operator which it is")
try:
    kind = json.loads(data)["signed"]["_type"]
except (ValueError, LookupError, TypeError):
    kind = None
if kind != "root":
    sys.exit(f"install-device.sh: {source} is no root: 'otamirror keys export-root' writes it on the mirror")
pathlib.Path(copy).write_bytes(data)
END
fi

# a copy, which nobody exchanges after it was looked at
if [ -n "$wheel" ]; then
    python3 -I - "$wheel" "$package_sha256" "$scratch" <<'END' || fail "nothing was changed"
import hashlib, pathlib, sys

source, wanted, scratch = sys.argv[1:]
try:
    data = pathlib.Path(source).read_bytes()
except OSError as error:
    sys.exit(f"install-device.sh: {source} cannot be read: {error}")
found = hashlib.sha256(data).hexdigest()
if wanted and found != wanted.lower():
    sys.exit(f"install-device.sh: {source} has the SHA-256 {found}, not {wanted}: ask for it where you have it from")
copy = pathlib.Path(scratch, pathlib.Path(source).name)
copy.write_bytes(data)
pathlib.Path(scratch, "wheel.txt").write_text(f"{copy}[device] --hash=sha256:{found}\n")
END
    package="$scratch/${wheel##*/}[device]"
fi

python3 -I -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv

# --- otadevice itself

if ! "$prefix/bin/python3" -I -m pip --version >/dev/null 2>&1; then
    # also where one was begun and cut off, or is of a Python that is not there any more
    [ -e "$prefix/pyvenv.cfg" ] || made=$prefix
    python3 -I -m venv "$prefix" || fail "the Python environment $prefix could not be made: see above"
fi
package=${package:-what $constraints pins}
say "installing ${wheel:-$package} into $prefix ..."
set -- "$package"
if [ -n "$constraints" ]; then
    set -- --require-hashes --requirement "$constraints"
    [ -z "$wheel" ] || set -- "$@" --requirement "$scratch/wheel.txt"
fi
"$prefix/bin/python3" -I -m pip --quiet --disable-pip-version-check --no-input install --upgrade "$@" ||
    fail "pip could not install ${wheel:-$package}: see above, then run this again"
version=$("$prefix/bin/otadevice" --version) || fail "$package brought no otadevice that runs here: give another --package"
# the settings are durable at once: what reads them must not be lost when the power goes now
sync

# --- settings

if [ -e "$config" ]; then
    [ -z "$remotes$root$device" ] || say "$config is there already and stays as it is"
else
    set -- --root "$scratch/root.json"
    for url in $remotes; do set -- "$@" --remote "$url"; done
    [ -z "$device" ] || set -- "$@" --device "$device"
    "$prefix/bin/otadevice" --config "$config" init "$@" >/dev/null || fail "this device could not be set up: see above"
fi
# from here on running it again goes on where it stopped
made=''
say "$version is installed: $prefix/bin/otadevice --config $config"

# --- the service

services='otadevice-recover.service otadevice.service'
if [ -z "$units" ]; then
    say "There is no systemd here: have 'recover' run at boot, and then 'run', for ever."
    exit 0
fi
"$prefix/bin/otadevice" --config "$config" install-units --to "$units" >/dev/null ||
    fail "the units of systemd could not be written: see above, then run this again"
# shellcheck disable=SC2086 # a list of words is meant, here and below
if [ "$units" != "$default_units" ] || ! command -v systemctl >/dev/null; then
    say "The units are in $units; enable them where they belong: systemctl enable $services"
elif [ "$start" = no ] || [ ! -d /run/systemd/system ]; then
    systemctl --quiet enable $services || fail "the units could not be enabled: see above, then run this again"
    say "It starts when this device boots."
else
    { systemctl daemon-reload && systemctl --quiet enable $services && systemctl restart otadevice.service; } ||
        fail "otadevice does not run: journalctl --unit otadevice.service says why"
    say "It runs; 'add' tells it which packages this device wants."
fi
