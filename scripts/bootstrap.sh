#!/usr/bin/env bash
# What `make` calls before it can run anything: finds a Python, makes .venv, and fills it.
#
#   scripts/bootstrap.sh runtime       the SDK and the server, editable
#   scripts/bootstrap.sh dev           and what tests and checks need
#   scripts/bootstrap.sh app           and the demonstration app with Kivy
#   scripts/bootstrap.sh postgres      PostgreSQL's programs, for the tests
#   scripts/bootstrap.sh constraints   constraints.txt anew, from the newest releases
#
# PYTHON chooses the interpreter of a new .venv. The Makefile keeps stamps, so this need not be fast when
# there is nothing to do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf 'greentrip: %s\n' "$*"; }
fail() { printf 'greentrip: %s\n' "$*" >&2; exit 1; }

# It must be run to be known: pyenv, for one, puts commands on the PATH that only say "not installed".
can_run_us() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        can_run_us "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 or newer."
        echo "$PYTHON"
        return
    fi
    local candidate usable=""
    for candidate in python3.11 python3.12 python3.13 python3.14 python3; do
        can_run_us "$candidate" || continue
        # One that can make a venv is better than an earlier one that cannot: Debian ships those.
        if has_venv "$candidate"; then echo "$candidate"; return; fi
        usable=${usable:-$candidate}
    done
    [ -n "$usable" ] || fail "no Python 3.11 or newer was found. Install one, or name one: make PYTHON=/path/to/python3 ..."
    echo "$usable"
}

# apt_install PACKAGE WHY: installs it where we may, and fails where we may not.
apt_install() {
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
    say "installing the Debian package $1 ($2) ..."
    # A list that cannot be refreshed is no reason to give up: the package may be in the one that is there.
    apt-get update >/dev/null || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$1" >/dev/null
}

make_venv() {
    local python=$1 folder=$2 package
    if ! has_venv "$python"; then
        package="python$(version_of "$python")-venv"
        apt_install "$package" "$python cannot make a virtual environment without it" && has_venv "$python" ||
            fail "$python has no venv module. On Debian or Ubuntu: sudo apt-get install $package"
    fi
    "$python" -m venv --clear "$folder"
}

ensure_venv() {
    # Asked of pip, not of the folder: a venv whose making was interrupted has a folder too.
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        local python
        python=$(find_python)
        say "making .venv with $python ($("$python" --version 2>&1)) ..."
        make_venv "$python" .venv
    fi
}

# The build backend is installed like everything else, at a version that we chose, instead of being fetched
# by pip for each package anew; pip itself too, since --group needs a newer one than Python 3.11 brings.
install() { .venv/bin/python -m pip install -q -c constraints.txt "$@"; }
install_editable() {
    install pip editables hatchling
    install --no-build-isolation "$@"
}

install_runtime() {
    ensure_venv
    say "installing the SDK and the server ..."
    install_editable -e sdk -e sync_server
}

install_dev() {
    say "installing what tests and checks need ..."
    install --group dev
}

install_app() {
    local version
    version=$(version_of .venv/bin/python)
    case $version in
        3.11 | 3.12 | 3.13) ;;
        *) fail "Kivy runs on Python 3.11 to 3.13, and .venv has $version: make clean, then make app PYTHON=python3.13" ;;
    esac
    say "installing the demonstration app and Kivy ..."
    install_editable -e sdk -e mobile_demo
}

# The same places as tests/support/postgres.py looks in.
have_initdb() { command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

ensure_postgres() {
    if have_initdb; then return; fi
    # Never an error: the tests on SQLite are worth running alone, and the others say why they skip.
    apt_install postgresql "half of the tests run on it" && have_initdb ||
        say "PostgreSQL's initdb was not found, so its tests will skip. On Debian or Ubuntu: sudo apt-get install postgresql"
}

write_constraints() {
    local python folder
    python=$(find_python)
    # The oldest Python that we support: what installs there installs on newer ones, not the other way round.
    [ "$(version_of "$python")" = 3.11 ] || fail "constraints are made with Python 3.11: make constraints PYTHON=python3.11"
    folder=$(mktemp -d)
    # shellcheck disable=SC2064  # the folder's name as it is now
    trap "rm -rf '$folder'" EXIT
    say "installing the newest of everything into a temporary environment ..."
    make_venv "$python" "$folder"
    "$folder/bin/python" -m pip install -q --upgrade pip
    # Ours first: the group dev names greentrip[pack], which must never be looked up in a registry.
    "$folder/bin/python" -m pip install -q --group build
    "$folder/bin/python" -m pip install -q --no-build-isolation -e sdk -e sync_server -e mobile_demo
    "$folder/bin/python" -m pip install -q --group dev
    {
        cat <<'HEADER'
# Exact versions of everything that `make` installs: runtime, tests, checks, build backend, demonstration app.
# They are tested on Python 3.11 to 3.13. Names and versions only: pip's own settings say where packages come from.
# Made by `make constraints`, which takes the newest release of each; run `make test lint` before committing it.
HEADER
        # setuptools comes with Python 3.11's venv and nothing here needs it.
        "$folder/bin/python" -m pip freeze -q --all --exclude-editable --exclude setuptools
    } >"$folder/constraints.txt"
    cp "$folder/constraints.txt" constraints.txt
    say "wrote constraints.txt: $(grep -c == constraints.txt) packages."
}

case "${1:-}" in
    runtime) install_runtime ;;
    dev) install_dev ;;
    app) install_app ;;
    postgres) ensure_postgres ;;
    constraints) write_constraints ;;
    *) fail "usage: scripts/bootstrap.sh runtime | dev | app | postgres | constraints" ;;
esac
