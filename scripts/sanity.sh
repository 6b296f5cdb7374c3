#!/usr/bin/env bash
# `ansible-test sanity` on the collection: every test, with no ignore file.
# usage: sanity.sh [FOLDER] [OPTION...]: FOLDER is the virtual environment with Ansible
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$root/.venv
if [ -x "${1:-}/bin/ansible-test" ]; then
    folder=$(cd "$1" && pwd)
    shift
fi
export PATH="$folder/bin:$PATH" LC_ALL=C.UTF-8
python=$("$folder/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')

# ansible-test makes its own virtual environments and fetches pip's bootstrap script for them.
# Where that address can't be reached, Python's own copy of pip does the same.
pip=$("$folder/bin/python" -c 'from ansible_test._internal import python_requirements as r; import types
print(r.get_venv_packages(types.SimpleNamespace(version="'"$python"'"))["pip"])')
bootstrap=$HOME/.ansible/test/cache/get_pip_${pip//./_}.py
url=https://ci-files.testing.ansible.com/ansible-test/get-pip-$pip.py
if [ ! -e "$bootstrap" ] && ! python3 -c "import urllib.request; urllib.request.urlopen('$url', timeout=10)" 2>/dev/null; then
    mkdir -p "$(dirname "$bootstrap")"
    trap 'rm -f "$bootstrap"' EXIT
    # ensurepip runs in a process of its own because it switches off pip's configuration, mirrors included.
    cat >"$bootstrap" <<'PY'
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip", "--upgrade", "--default-pip"], stdout=subprocess.DEVNULL)
packages = [arg for arg in sys.argv[1:] if not arg.startswith("--")]
if packages:
    subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
PY
fi

cd "$root/collections/ansible_collections/prsnl/ports"
ansible-test sanity --venv --requirements --python "$python" --color no "$@"
