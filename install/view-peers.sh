#!/bin/sh
# Installs what `make bench-view` compares with, from the Python package index, into an
# environment of its own under DIRECTORY, and prints the path of git-filter-repo.
#
#   install/view-peers.sh DIRECTORY
#
# Exit codes: 0 it is there; 2 it cannot be installed.
set -eu

directory=${1:?usage: install/view-peers.sh DIRECTORY}
version=2.47.0
environment=$directory/git-filter-repo-$version
if ! command -v python3 > /dev/null 2>&1 || ! python3 -c 'import venv, ensurepip' 2> /dev/null; then
    echo "view-peers: python3 with venv is missing (Debian: python3-venv)" >&2
    exit 2
fi
if [ ! -e "$environment/installed" ]; then
    echo "view-peers: installing git-filter-repo $version" >&2
    rm -rf "$environment"
    python3 -m venv "$environment" >&2
    "$environment/bin/pip" install --quiet --disable-pip-version-check \
        "git-filter-repo==$version" >&2
    touch "$environment/installed"
fi
echo "$environment/bin/git-filter-repo"
