#!/bin/sh
# Usage: tools/install-cast.sh [FOLDER]        (default: .tools beside the Makefile)
#
# Makes FOLDER/bin/cast run, which the benchmarks compare with: the native program out of the npm package of its maker.
# What npm brings is held against the hash below of the package's archive, beside npm's own check.
# A cast on PATH, or made by an earlier run, is left as it is. Two runs at once do no harm.
# CAST_FORCE=1 installs although there is one on PATH.
set -eu
umask 022

version=1.7.1
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=${1:-$here/.tools}

fail() {
    printf 'cast: %s\n' "$1" >&2
    printf 'cast: any cast on PATH does as well, for example that of Foundry\n' >&2
    exit 1
}
# answers PROGRAM: whether it runs; other programs have the name cast too, so it has to know what it is
answers() { case $("$1" --version </dev/null 2>/dev/null) in "cast Version: "*) ;; *) return 1 ;; esac; }

if [ -z "${CAST_FORCE:-}" ] && answers cast; then exit 0; fi
if answers "$target/bin/cast"; then exit 0; fi
for need in npm openssl; do
    command -v "$need" >/dev/null || fail "there is no cast on PATH, and no $need on this machine to fetch one"
done

case $(uname -s) in Linux) system=linux ;; Darwin) system=darwin ;; *) fail "there is no package for $(uname -s)" ;; esac
case $(uname -m) in
    x86_64 | amd64) machine=amd64 ;;
    aarch64 | arm64) machine=arm64 ;;
    *) fail "there is no package for $(uname -m)" ;;
esac
# SHA-512 of the archives, as the registry's "integrity" names them (base64)
case $system-$machine in
    linux-amd64) hash=XUpTM2rwtkF8BJ02dae38NNZAx5QfycWRpdR2RmSgOJnasvXuvN58whDVLjQu8IDHEV/fCNIa49aE8V74pmDwQ== ;;
    linux-arm64) hash=LfXMECUhrpDPgOAuiLTYPeXXFpi/sABhcHAcbfvq+n5668sdjrh4FY8Ol14GcZV/QxqOrwFtsKjdyHZgtHM4pQ== ;;
    darwin-amd64) hash=K1ZV5SLcq9B6cMmtZYRB0YyIbhrhLgdMyKzjMzQmIohxkC7+gtrOUwzMMFTU5IedGgaUXBCFH5Bp5DGUkJ9qpw== ;;
    darwin-arm64) hash=lO2aEhJfTOksC4V2Qhz6kH4RztPKd/rMsv6GJLfIWKMQ9Q/1TmMzpyGELCSUp28YwYqhC7gTlFYMkxDTuvyqiw== ;;
esac

mkdir -p "$target/bin"
target=$(CDPATH='' cd -- "$target" && pwd)
if command -v flock >/dev/null; then
    exec 9>"$target/cast.lock"
    flock 9
    if answers "$target/bin/cast"; then exit 0; fi
fi
work=$(mktemp -d "$target/cast.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

printf 'cast: fetching version %s\n' "$version"
archive=$(cd "$work" && npm pack --silent --ignore-scripts "@foundry-rs/cast-$system-$machine@$version" </dev/null) ||
    fail "npm could not fetch @foundry-rs/cast-$system-$machine $version"
got=$(openssl dgst -sha512 -binary "$work/$archive" | openssl base64 -A)
[ "$got" = "$hash" ] || fail "the archive is not the one that is expected: its SHA-512 is $got"
tar -xzf "$work/$archive" -C "$work" package/bin/cast || fail "the archive holds no program"
chmod 755 "$work/package/bin/cast"
answers "$work/package/bin/cast" ||
    fail "the program that npm brought does not run: $("$work/package/bin/cast" --version 2>&1 </dev/null | tail -n 1)"
mkdir -p "$target/cast"
mv "$work/package/bin/cast" "$target/cast/cast"
ln -sf ../cast/cast "$target/bin/cast"
printf 'cast: %s\n' "$("$target/bin/cast" --version | head -n 1)"
