#!/bin/sh
# Usage: tools/scratch.sh
#
# Makes a folder for the files of tests and prints its name: in memory, where there is a memory file system with room
# on which programs may run, and else where temporary files usually are. With TMPDIR set, always there.
set -eu

MEMORY=/dev/shm
ROOM=4194304 # KiB; all tests of both processes have needed less than a third of it

in_memory() {
    [ -z "${TMPDIR:-}" ] && [ -d "$MEMORY" ] && [ -w "$MEMORY" ] || return 1
    free=$(df -Pk "$MEMORY" | awk 'NR == 2 { print $4 }')
    available=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
    [ "${free:-0}" -ge "$ROOM" ] && [ "${available:-0}" -ge "$((2 * ROOM))" ] || return 1
    made=$(mktemp -d "$MEMORY/cs-XXXXXX") || return 1
    printf '#!/bin/sh\n' >"$made/runs" && chmod 700 "$made/runs"
    "$made/runs" 2>/dev/null || { rm -rf "$made"; return 1; }
    rm "$made/runs"
}

in_memory || made=$(mktemp -d "${TMPDIR:-/tmp}/cs-XXXXXX")
chmod 711 "$made" # a server of another user has its files below
printf '%s\n' "$made"
