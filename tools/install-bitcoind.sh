#!/bin/sh
# Usage: tools/install-bitcoind.sh [FOLDER]        (default: .tools beside the Makefile)
#
# Makes FOLDER/bin/bitcoind and FOLDER/bin/bitcoin-cli run, from Debian's packages, without installing anything:
# the packages are fetched and checked by apt, and unpacked to FOLDER/bitcoind with their own C library, since the
# package is newer than most machines. Nothing outside FOLDER changes, root is not needed, FOLDER may be moved.
# A bitcoind and bitcoin-cli on PATH, or made by an earlier run, are left as they are. Two runs at once do no harm.
#
# The mirror is whatever apt on this machine is set up with. BITCOIND_SUITE and BITCOIND_PACKAGE choose another
# suite (sid) and package (bitcoin-knots); BITCOIND_FORCE=1 installs although there is one on PATH.
set -eu
umask 022

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=${1:-$here/.tools}
suite=${BITCOIND_SUITE:-sid}
package=${BITCOIND_PACKAGE:-bitcoin-knots}

tell() { printf 'bitcoind: %s\n' "$*"; }
fail() {
    printf 'bitcoind: %s\n' "$1" >&2
    printf 'bitcoind: any bitcoind and bitcoin-cli on PATH do as well, for example those of Bitcoin Core\n' >&2
    exit 1
}

# answers PREFIX: whether both programs run when called as PREFIX followed by their name
answers() {
    for each in bitcoind bitcoin-cli; do "$1$each" -version </dev/null >/dev/null 2>&1 || return 1; done
}

# machine_mirror: the address of the first plain Debian archive among apt's own sources
machine_mirror() {
    apt-get update --print-uris -o Dir::State::Lists="$work/lists" 2>/dev/null |
        sed -n "s,^'\(.*\)/dists/\([^/']*\)/InRelease' .*,\1 \2,p" |
        awk '$1 !~ /security/ && $2 !~ /-/ { print $1; exit }'
}

# private_apt: from here on, apt knows one source and keeps its lists, cache and (empty) package state in $work
private_apt() {
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/empty"
    mirror=$(machine_mirror)
    [ -n "$mirror" ] || fail "apt on this machine has no plain Debian source to take the packages from"
    signers=
    for ring in /usr/share/keyrings/debian-archive-keyring.pgp /usr/share/keyrings/debian-archive-keyring.gpg; do
        [ ! -r "$ring" ] || signers=" signed-by=$ring"
    done
    printf 'deb [arch=%s%s] %s %s main\n' "$(dpkg --print-architecture)" "$signers" "$mirror" "$suite" >"$work/sources"
    : >"$work/state"
    {
        [ -z "${APT_CONFIG:-}" ] || printf '#include "%s";\n' "$APT_CONFIG"
        printf '%s "%s";\n' \
            Dir::Etc::SourceList "$work/sources" Dir::Etc::SourceParts "$work/empty" \
            Dir::Etc::Preferences /dev/null Dir::Etc::PreferencesParts "$work/empty" \
            Dir::State::Lists "$work/lists" Dir::State::Status "$work/state" \
            Dir::Cache "$work" Dir::Cache::Archives "$work/archives" \
            APT::Sandbox::User root APT::Get::AllowUnauthenticated false Acquire::AllowInsecureRepositories false \
            Acquire::Languages none Acquire::Retries 3
    } >"$work/apt.conf"
    APT_CONFIG=$work/apt.conf
    export APT_CONFIG
}

# libraries_of PACKAGE...: the library packages that these depend on (services and set-up packages are not needed to run)
libraries_of() {
    apt-cache depends --important "$@" | sed -n 's/^ *|\{0,1\}\(Pre\)\{0,1\}Depends: *\(\(lib\|zlib\)[^<> ]*\)$/\2/p'
}

# fetch: download $package and, level by level, all the libraries below it
fetch() {
    tell "reading the package list of $suite"
    apt-get -qq update </dev/null || fail "the package list of $suite could not be read"
    apt-cache show "$package" >/dev/null 2>&1 || fail "$suite has no package $package"
    printf '%s\n' "$package" >"$work/wanted"
    cp "$work/wanted" "$work/level"
    while [ -s "$work/level" ]; do
        # shellcheck disable=SC2046
        libraries_of $(cat "$work/level") | sort -u | grep -vxF -f "$work/wanted" >"$work/next" || :
        cat "$work/next" >>"$work/wanted"
        mv "$work/next" "$work/level"
    done
    tell "fetching $(wc -l <"$work/wanted") packages"
    # shellcheck disable=SC2046
    (cd "$work/archives" && apt-get -qq download $(cat "$work/wanted") </dev/null) || fail "the packages could not be fetched"
}

# unpack: $work/new becomes what $target/bitcoind will be, with a start script for each program
unpack() {
    mkdir -p "$work/new/files"
    for archive in "$work"/archives/*.deb; do dpkg-deb -x "$archive" "$work/new/files"; done
    rm -rf "$work/new/files/etc" "$work/new/files/usr/share"
    cd "$work/new"
    loader=$(find files -name 'ld-linux*.so.[0-9]' -type f | head -n 1)
    daemon=$(find files -name bitcoind -type f | head -n 1)
    [ -n "$loader" ] && [ -n "$daemon" ] || fail "the packages do not hold what they should"
    search=$(find files -name '*.so.*' ! -path '*/gconv/*' | sed 's,/[^/]*$,,' | sort -u | sed 's,^,$home/,' | paste -sd :)
    for each in bitcoind bitcoin-cli; do
        cat >"$each" <<SCRIPT
#!/bin/sh
home=\$(dirname -- "\$(readlink -f -- "\$0")")
exec "\$home/$loader" --argv0 $each --library-path "$search" "\$home/$(dirname "$daemon")/$each" "\$@"
SCRIPT
        chmod 755 "$each"
    done
    cd "$here"
    answers "$work/new/" || fail "the unpacked program does not run: $("$work/new/bitcoind" -version 2>&1 | tail -n 1)"
}

if [ -z "${BITCOIND_FORCE:-}" ] && answers ""; then exit 0; fi
if answers "$target/bin/"; then exit 0; fi
for need in apt-get apt-cache dpkg dpkg-deb flock; do
    command -v "$need" >/dev/null || fail "there is no bitcoind on PATH, and no $need on this machine to fetch one"
done

mkdir -p "$target/bin"
target=$(CDPATH='' cd -- "$target" && pwd)
exec 9>"$target/bitcoind.lock"
flock 9
if answers "$target/bin/"; then exit 0; fi
work=$(mktemp -d "$target/bitcoind.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

private_apt
fetch
unpack

# The links come last: a run that is cut off before them leaves nothing that looks finished.
rm -rf "$target/bitcoind"
mv "$work/new" "$target/bitcoind"
ln -sf ../bitcoind/bitcoind ../bitcoind/bitcoin-cli "$target/bin/"
tell "$("$target/bin/bitcoind" -version | head -n 1)"
