#!/bin/sh
# Usage: tools/install-ssh-keygen.sh [FOLDER]        (default: .tools beside the Makefile)
#
# Makes FOLDER/bin/ssh-keygen run, from Debian's openssh-client, without installing anything: the package is fetched and
# checked by apt, and this one program goes to FOLDER/openssh, with its libraries where the machine lacks one. It is the
# package of the machine's own release. Nothing outside FOLDER changes, root is not needed, FOLDER may be moved.
# An ssh-keygen on PATH, or made by an earlier run, is left as it is. Two runs at once do no harm.
# SSH_KEYGEN_FORCE=1 installs although there is one on PATH.
set -eu
umask 022

package=openssh-client
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=${1:-$here/.tools}

tell() { printf 'ssh-keygen: %s\n' "$*"; }
fail() {
    printf 'ssh-keygen: %s\n' "$1" >&2
    printf 'ssh-keygen: any ssh-keygen of OpenSSH 8.2 or later on PATH does as well\n' >&2
    exit 1
}

# answers PROGRAM: whether it runs; it has no --version, so it is shown the public key of RFC 8032's first test
known='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea'
answers() { printf '%s\n' "$known" | "$1" -l -f - >/dev/null 2>&1; }

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

# unpack PACKAGE...: fetch them and unpack their files to $work/files
unpack() {
    tell "fetching $*"
    (cd "$work/archives" && apt-get -qq download "$@" </dev/null) || fail "apt could not fetch $*"
    for archive in "$work"/archives/*.deb; do
        dpkg-deb -x "$archive" "$work/files" || fail "${archive##*/} could not be unpacked"
    done
}

# libraries: the library packages that it depends on; the C library is the machine's own
libraries() {
    apt-cache depends --important "$package" |
        sed -n 's/^ *|\{0,1\}\(Pre\)\{0,1\}Depends: *\(\(lib\|zlib\)[^<> ]*\)$/\2/p' | grep -vx libc6 | sort -u
}

# bring_libraries: put the libraries beside the program, and a script in its place that has them found
bring_libraries() {
    # shellcheck disable=SC2046
    unpack $(libraries)
    mkdir "$work/new/lib"
    find "$work/files" -name 'lib*.so.*' ! -type d -exec cp -P {} "$work/new/lib/" ';'
    mv "$work/new/ssh-keygen" "$work/new/program"
    cat >"$work/new/ssh-keygen" <<'SCRIPT'
#!/bin/sh
home=$(dirname -- "$(readlink -f -- "$0")")
LD_LIBRARY_PATH=$home/lib exec "$home/program" "$@"
SCRIPT
    chmod 755 "$work/new/ssh-keygen"
}

if [ -z "${SSH_KEYGEN_FORCE:-}" ] && answers ssh-keygen; then exit 0; fi
if answers "$target/bin/ssh-keygen"; then exit 0; fi
for need in apt-get apt-cache dpkg-deb flock; do
    command -v "$need" >/dev/null || fail "there is no ssh-keygen on PATH, and no $need on this machine to fetch one"
done

mkdir -p "$target/bin"
target=$(CDPATH='' cd -- "$target" && pwd)
exec 9>"$target/openssh.lock"
flock 9
if answers "$target/bin/ssh-keygen"; then exit 0; fi
work=$(mktemp -d "$target/openssh.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

private_apt
tell "reading the package lists"
apt-get -qq update </dev/null || tell "some package lists could not be read"
unpack "$package"
[ -x "$work/files/usr/bin/ssh-keygen" ] || fail "the package $package does not hold what it should"
mkdir "$work/new"
cp "$work/files/usr/bin/ssh-keygen" "$work/new/" # and no other: there are programs in it that run with root's rights
answers "$work/new/ssh-keygen" || bring_libraries
answers "$work/new/ssh-keygen" ||
    fail "the unpacked program does not run: $("$work/new/ssh-keygen" -l -f /dev/null 2>&1 </dev/null | tail -n 1)"

# The link comes last: a run that is cut off before it leaves nothing that looks finished.
rm -rf "$target/openssh"
mv "$work/new" "$target/openssh"
ln -sf ../openssh/ssh-keygen "$target/bin/ssh-keygen"
tell "ready, out of $package"
