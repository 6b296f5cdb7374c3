"""What the lab does to be quicker changes nothing that a program can see."""

from __future__ import annotations

import pytest
from lab import on

LAB, PLAIN = "/etc/lab/python3", "/usr/bin/python3"
# Of the environment, `_` is the shell's own.
LOOK = """
import os, signal, sys
umask = os.umask(0)
print(sorted(item for item in os.environ.items() if item[0] != '_'))
print(__name__, sys.argv, sys.path, sys.executable, sys.flags, os.getcwd(), umask)
print(os.getuid(), os.getgroups(), os.uname(), signal.getsignal(signal.SIGPIPE))
print(sys.stdin.read() if len(sys.argv) > 1 else '', sys.stdout.encoding, os.isatty(1))
"""
PROGRAMS = {
    "look": LOOK,
    "status": "import sys; print('out'); sys.exit(300)",
    "message": "import sys; sys.exit('why')",
    "exception": "import atexit; atexit.register(print, 'at exit'); {}['key']",
    "killed": "import os; print('lost'); os.kill(os.getpid(), 9)",
    "thread": "import threading; threading.Timer(0.1, print, ['late']).start()",
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_a_copy_of_python_does_what_python_does(what: str) -> None:
    """From a file with arguments and from standard input: output, last error and exit status."""

    def run(python: str) -> str:
        file = f"/run/lab-test-{what}.py"
        script = f"""
umask 0027; cd /tmp; export WHAT='a b'; cat > {file}
echo input | {python} {file} one 'two three' 2> {file}.err; echo $?; tail -n 1 {file}.err
{python} < {file} 2> {file}.err; echo $?; tail -n 1 {file}.err
{python} -c 'print(6 * 7)'
rm {file} {file}.err
"""
        return on("outsider", script, stdin=PROGRAMS[what])

    assert run(LAB) == run(PLAIN)
