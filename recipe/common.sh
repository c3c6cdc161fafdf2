# Shell functions of the scripts; to be sourced.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${GNP_PYTHON:-$root/.venv/bin/python}

# prepare_environment [EXTRA]: sets up .venv with requirements.txt, the package and an extra of it,
# unless it is there already, or GNP_PYTHON names a Python that has everything.
prepare_environment() {
    [[ -z ${GNP_PYTHON:-} ]] || return 0
    local package=$root${1:+[$1]} stamp=$root/.venv/stamp${1:+_$1} wanted base
    wanted=$(cat "$root/requirements.txt" "$root/setup.py" | cksum)
    if [[ -x $python && -f $stamp && $(<"$stamp") == "$wanted" ]] && "$python" -c "import jax"; then
        return
    fi
    base=$(find_python)
    echo "Setting up $root/.venv, which takes a few minutes the first time." >&2
    "$base" -m venv "$root/.venv"
    "$python" -m pip install --quiet --disable-pip-version-check \
        --requirement "$root/requirements.txt" --editable "$package"
    echo "$wanted" >"$stamp"
}

# find_python: prints the name of a Python that can make the environment.
find_python() {
    local candidate
    for candidate in python3.11 python3.12 python3.13 python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
            >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    echo "There is no Python 3.11 or newer with the modules venv and ensurepip on the PATH;" \
        "install one, for example with: apt install python3.11 python3.11-venv" >&2
    return 2
}
