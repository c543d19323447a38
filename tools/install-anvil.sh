#!/bin/sh
# Usage: tools/install-anvil.sh [FOLDER]        (default: .tools beside the Makefile)
#
# Makes FOLDER/bin/anvil run: the native program out of the npm package, so that its process id is anvil's own.
# An anvil on PATH, or made by an earlier run, is left as it is. Two runs at once do no harm.
# ANVIL_FORCE=1 installs although there is one on PATH.
set -eu

version=1.7.1
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=${1:-$here/.tools}

fail() {
    printf 'anvil: %s\n' "$1" >&2
    printf 'anvil: any anvil on PATH does as well, for example that of Foundry\n' >&2
    exit 1
}
answers() { "$1" --version </dev/null >/dev/null 2>&1; }

if [ -z "${ANVIL_FORCE:-}" ] && answers anvil; then exit 0; fi
if answers "$target/bin/anvil"; then exit 0; fi
command -v npm >/dev/null || fail "there is no anvil on PATH, and no npm on this machine to fetch one"

case $(uname -s) in Linux) system=linux ;; Darwin) system=darwin ;; *) fail "there is no package for $(uname -s)" ;; esac
case $(uname -m) in
    x86_64 | amd64) machine=amd64 ;;
    aarch64 | arm64) machine=arm64 ;;
    *) fail "there is no package for $(uname -m)" ;;
esac

mkdir -p "$target/bin"
target=$(CDPATH='' cd -- "$target" && pwd)
if command -v flock >/dev/null; then
    exec 9>"$target/anvil.lock"
    flock 9
    if answers "$target/bin/anvil"; then exit 0; fi
fi
printf 'anvil: fetching version %s\n' "$version"
npm install --prefix "$target/npm" --no-save --no-audit --no-fund --ignore-scripts --loglevel error \
    "@foundry-rs/anvil@$version" </dev/null >/dev/null || fail "npm could not fetch @foundry-rs/anvil $version"
native=npm/node_modules/@foundry-rs/anvil-$system-$machine/bin/anvil
[ -f "$target/$native" ] || fail "npm brought no program for $system $machine"
chmod +x "$target/$native"
ln -sf "../$native" "$target/bin/anvil"
answers "$target/bin/anvil" || fail "the program that npm brought does not run: $("$target/bin/anvil" --version 2>&1 | tail -n 1)"
printf 'anvil: %s\n' "$("$target/bin/anvil" --version | head -n 1)"
