# Finds Pythons and makes virtual environments of this project in .venvs/. Sourced by tests/run and notebooks/open,
# which stand in the project's directory.

SUPPORTED="3.11 3.12 3.13"

# Says whether an interpreter is of the version asked for, and can build extensions and virtual environments.
python_is_usable() { # PYTHON VERSION
    "$1" - "$2" >/dev/null 2>&1 <<'EOF'
import ensurepip, os, sys, sysconfig, venv
assert "%d.%d" % sys.version_info[:2] == sys.argv[1]
assert sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
EOF
}

# Prints the path of the first usable interpreter of a version: from PATH, then from pyenv, the newest first.
find_python() { # VERSION
    local python
    while read -r python; do
        if python_is_usable "$python" "$1"; then
            "$python" -c 'import sys; print(sys.executable)'
            return 0
        fi
    done < <(
        type -ap "python$1"
        printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/"python$1" | sort -Vr
    )
    return 1
}

# Makes or renews .venvs/NAME with the project, editable, and the given extra. What is up to date is left alone.
make_environment() { # NAME PYTHON EXTRA
    local directory=.venvs/${1:?a name is missing} python=.venvs/$1/bin/python stamp wanted
    stamp=$directory/installed
    wanted="$3 $(cat pyproject.toml lpf_ipython/lab/built/package.json | cksum) $PWD"
    if ! "$python" -c '' 2>/dev/null; then
        rm -rf "$directory"
        "$2" -m venv "$directory" || return
    fi
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        "$python" native/hatch_build.py
        return
    fi
    "$python" -m pip install -qq --disable-pip-version-check \
        hatchling setuptools --editable ".[$3]" || return
    echo "$wanted" >"$stamp"
}
