#!/bin/sh
# Checks licences, bans, sources and advisories of every crate in the graph, with cargo-deny.
#
#   install/deny.sh [ADVISORIES]
#
# ADVISORIES is a directory with a copy of the RustSec advisory database (its `crates/` folder);
# ../shared/advisory-db is taken when it is there and nothing is named. Without a copy, cargo-deny
# fetches the data from the network.
#
# Exit codes: 0 clean; 1 something was found; 2 it could not be checked.
set -eu
cd "$(dirname "$0")/.."

cargo=$(command -v cargo || echo "${CARGO_HOME:-$HOME/.cargo}/bin/cargo")
advisories=${1:-../shared/advisory-db}
if [ ! -d "$advisories/crates" ]; then
    exec "$cargo" deny check --hide-inclusion-graph
fi

# cargo-deny reads advisories from a git repository only, in a directory that it names after the
# database's URL; so the copy becomes one for a moment.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
database="$work/advisory-db-3157b0e258782691"
cp -r "$advisories" "$database"
chmod -R u+w "$database"
git -C "$database" init --quiet --initial-branch main
git -C "$database" add --all
git -C "$database" -c user.name=deny -c user.email=deny@localhost commit --quiet --message copy
sed "s|^\[advisories\]|[advisories]\ndb-path = \"$work\"|" deny.toml > "$work/deny.toml"
"$cargo" deny --offline --config "$work/deny.toml" check --hide-inclusion-graph
