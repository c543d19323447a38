#!/bin/sh
# Usage: tools/install-spin.sh [FOLDER]        (default: .tools beside the Makefile)
#
# Makes FOLDER/bin/spin run, from Debian's spin, without installing anything: the package is fetched and checked by apt,
# and this one program goes to FOLDER/spin, with a script before it that has it started from wherever FOLDER is. It is
# the package of the machine's own release. Nothing outside FOLDER changes, root is not needed, FOLDER may be moved.
# A spin on PATH, or made by an earlier run, is left as it is. Two runs at once do no harm.
# SPIN_FORCE=1 installs although there is one on PATH. What spin writes is C, and wants a C compiler.
set -eu
umask 022

package=spin
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=${1:-$here/.tools}

tell() { printf 'spin: %s\n' "$*"; }
fail() {
    printf 'spin: %s\n' "$1" >&2
    printf 'spin: any spin of version 6.4 or later on PATH does as well\n' >&2
    exit 1
}

# answers PROGRAM: whether it runs; other programs have the name spin too, so it has to know what it is
answers() { case $("$1" -V </dev/null 2>/dev/null) in "Spin Version "*) ;; *) return 1 ;; esac; }

# private_apt: from here on, apt keeps its lists and its cache in $work; its sources stay the machine's own
private_apt() {
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    {
        [ -z "${APT_CONFIG:-}" ] || printf '#include "%s";\n' "$APT_CONFIG"
        printf '%s "%s";\n' \
            Dir::State::Lists "$work/lists" Dir::Cache "$work" Dir::Cache::Archives "$work/archives" \
            APT::Sandbox::User root APT::Get::AllowUnauthenticated false Acquire::AllowInsecureRepositories false \
            Acquire::Languages none Acquire::Retries 3
    } >"$work/apt.conf"
    APT_CONFIG=$work/apt.conf
    export APT_CONFIG
}

# unpack: $work/new becomes what $target/spin will be; its only library is the machine's own C library
unpack() {
    tell "fetching $package"
    (cd "$work/archives" && apt-get -qq download "$package" </dev/null) || fail "apt could not fetch $package"
    for archive in "$work"/archives/*.deb; do
        dpkg-deb -x "$archive" "$work/files" || fail "${archive##*/} could not be unpacked"
    done
    [ -x "$work/files/usr/bin/spin" ] || fail "the package $package does not hold what it should"
    mkdir "$work/new"
    cp "$work/files/usr/bin/spin" "$work/new/program"
    cat >"$work/new/spin" <<'SCRIPT'
#!/bin/sh
home=$(dirname -- "$(readlink -f -- "$0")")
exec "$home/program" "$@"
SCRIPT
    chmod 755 "$work/new/spin" "$work/new/program"
    answers "$work/new/spin" ||
        fail "the unpacked program does not run: $("$work/new/spin" -V 2>&1 </dev/null | tail -n 1)"
}

if [ -z "${SPIN_FORCE:-}" ] && answers spin; then exit 0; fi
if answers "$target/bin/spin"; then exit 0; fi
for need in apt-get dpkg-deb flock; do
    command -v "$need" >/dev/null || fail "there is no spin on PATH, and no $need on this machine to fetch one"
done

mkdir -p "$target/bin"
target=$(CDPATH='' cd -- "$target" && pwd)
exec 9>"$target/spin.lock"
flock 9
if answers "$target/bin/spin"; then exit 0; fi
work=$(mktemp -d "$target/spin.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

private_apt
tell "reading the package lists"
apt-get -qq update </dev/null || tell "some package lists could not be read"
unpack

# The link comes last: a run that is cut off before it leaves nothing that looks finished.
rm -rf "$target/spin"
mv "$work/new" "$target/spin"
ln -sf ../spin/spin "$target/bin/spin"
tell "$("$target/bin/spin" -V)"
