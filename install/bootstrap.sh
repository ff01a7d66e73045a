#!/bin/sh
# Installs what building and running Refwarden needs and this machine lacks.
#
#   install/bootstrap.sh              what `make build` and `make demo` need
#   install/bootstrap.sh --for-tests  also what `make test` and `make bench` need
#   install/bootstrap.sh --check      only say what is missing; exit code 1 if anything is
#
# Quiet when nothing is missing. Root, or sudo, is needed for the installation only.
#
# Postgres: only its programs are wanted, since `refwarden up` runs a cluster of its own. The
# Debian package would also make a cluster, start it on port 5432 and enable a service. So,
# where there is no /etc/postgresql-common/createcluster.conf yet, one with
# `create_main_cluster = false` is put there first, and stays: remove it, or run
# `pg_createcluster`, to have a cluster of the system.
#
# Exit codes: 0 everything is there; 1 something is missing (--check); 2 it cannot be installed.
set -eu

for_tests=no
check=no
for argument in "$@"; do
    case $argument in
        --for-tests) for_tests=yes ;;
        --check) check=yes ;;
        -h | --help) sed -n '2,/^set -eu/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
        *) echo "bootstrap: unknown argument '$argument'; see --help" >&2; exit 2 ;;
    esac
done

# Ordinary users rarely have these in PATH.
PATH="$PATH:/usr/sbin:/sbin"

have() { command -v "$1" > /dev/null 2>&1; }

missing=
# need PACKAGE WHY: adds a package to what will be installed.
need() { missing="$missing $1"; reasons="${reasons:-}  $1: $2
"; }

have git || need git "the version control system that is guarded"
have cc || need gcc "a C compiler, for libgit2, the TLS library and linking"
[ -e /usr/include/stdio.h ] || need libc6-dev "headers for the C compiler"
have make || need make "runs the targets of the Makefile"
have setpriv || need util-linux "setpriv, which takes privileges away from Postgres"
have_libpq() {
    for file in /usr/lib/libpq.so /usr/lib/*/libpq.so /usr/lib64/libpq.so; do
        if [ -e "$file" ]; then return 0; fi
    done
    return 1
}
have_libpq || need libpq-dev "the client library of Postgres"
have_postgres() {
    for initdb in "$(command -v initdb || :)" /usr/lib/postgresql/*/bin/initdb; do
        if [ -n "$initdb" ] && [ -x "$initdb" ]; then return 0; fi
    done
    return 1
}
have_postgres || need postgresql "initdb and postgres, for the records"

if [ "$for_tests" = yes ]; then
    have nginx || need nginx-light "serves git http-backend, to compare with"
    have fcgiwrap || need fcgiwrap "runs git http-backend for nginx"
    have sshd || need openssh-server "pushes over a real sshd"
    have_aiosmtpd() {
        for python in /usr/bin/python3 python3; do
            if "$python" -c 'import aiosmtpd' 2> /dev/null; then return 0; fi
        done
        return 1
    }
    have_aiosmtpd || need python3-aiosmtpd "takes mail, to see that notifications arrive"
    have openssl || need openssl "a certificate for that mail server"
    have ssh || need openssh-client "pushes over a real sshd"
    have gpg || need gnupg "signs commits, tags and pushes"
    have_venv() { python3 -c 'import ensurepip, venv' 2> /dev/null; }
    have_venv || need python3-venv "runs clients of git's protocol that are not git, and an S3 server"
    have node || need nodejs "runs an OpenID provider, and a client that is not git"
    have npm || need npm "installs both"
fi

if ! have cargo && [ -x "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin/cargo" ]; then
    PATH="$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"
fi
if ! have cargo; then
    echo "bootstrap: cargo is missing. Install Rust from https://rustup.rs (or your" >&2
    echo "distribution), open a new shell, and run this again." >&2
    exit 2
fi

[ -n "$missing" ] || exit 0

if [ "$check" = yes ]; then
    printf 'bootstrap: missing:\n%s' "$reasons" >&2
    exit 1
fi
if ! have apt-get; then
    printf 'bootstrap: this is no Debian or Ubuntu. Install by hand what these are here:\n%s' "$reasons" >&2
    exit 2
fi

if [ "$(id -u)" = 0 ]; then
    as_root=
elif have sudo; then
    as_root=sudo
else
    printf 'bootstrap: root is needed, and there is no sudo. As root, run:\n' >&2
    printf '  apt-get install --no-install-recommends%s\n' "$missing" >&2
    exit 2
fi

printf 'bootstrap: will install with apt-get%s:\n%s' "${as_root:+ (sudo)}" "$reasons" >&2

marker=/etc/postgresql-common/createcluster.conf
case " $missing " in
    *" postgresql "*)
        if [ ! -e "$marker" ]; then
            echo "bootstrap: $marker: no cluster of the system will be made" >&2
            $as_root mkdir -p /etc/postgresql-common
            echo 'create_main_cluster = false' | $as_root tee "$marker" > /dev/null
        fi
        ;;
esac

# Lists of packages: absent in fresh containers.
if ! ls /var/lib/apt/lists/*_Packages* > /dev/null 2>&1; then
    $as_root apt-get -qq update >&2
fi
install() {
    # shellcheck disable=SC2086 # a list of package names
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -qq \
        -o Dpkg::Options::=--force-confold \
        install --no-install-recommends $missing >&2
}
if ! install; then
    echo 'bootstrap: trying again with fresh package lists' >&2
    $as_root apt-get -qq update >&2
    if ! install; then
        printf 'bootstrap: apt-get failed; see above. By hand:\n' >&2
        printf '  apt-get install --no-install-recommends%s\n' "$missing" >&2
        exit 2
    fi
fi
echo 'bootstrap: done' >&2
