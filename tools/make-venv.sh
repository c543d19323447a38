#!/bin/sh
# Usage: tools/make-venv.sh EXTRA...
#
# Makes .venv with the program as it lies here and what setup.cfg names, with the extras EXTRA. The first Python of
# 3.11 or newer among the usual names is taken; PYTHON=... names another.
set -eu

cd -- "$(dirname -- "$0")/.."
extras=$(printf '%s\n' "$@" | paste -sd , -)

fail() {
    printf 'venv: %s\n' "$*" >&2
    exit 1
}
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' </dev/null >/dev/null 2>&1; }

# One left behind by an older or a removed Python is made anew.
if ! new_enough .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=
    for each in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if new_enough "$each"; then
            python=$each
            break
        fi
    done
    [ -n "$python" ] || fail "Python 3.11 or newer is needed; name it with PYTHON=/path/to/python3 make ..."
    "$python" -m venv --clear .venv ||
        fail "$python cannot make a virtual environment (on Debian its package python3-venv is needed)"
fi
printf 'venv: installing %s\n' "cryptosupport${extras:+[$extras]}"
.venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --editable ".${extras:+[$extras]}" </dev/null ||
    fail "the packages that setup.cfg names could not be installed"
