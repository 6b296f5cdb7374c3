"""Compare sizes and offsets of structures with those of the SDK of this Mac, by its compiler."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "collections"))

from ansible_collections.prsnl.ports.plugins.module_utils.sockets import darwin

SIZES: dict[str, type[ctypes.Structure]] = {
    "struct proc_fdinfo": darwin.FdInfo,
    "struct proc_fileportinfo": darwin.FdInfo,
    "struct in_sockinfo": darwin.InSockInfo,
    "struct tcp_sockinfo": darwin.TcpSockInfo,
    "struct socket_fdinfo": darwin.SocketFdInfo,
    "struct proc_bsdinfo": darwin.BsdInfo,
}
OFFSETS = {
    ("struct socket_fdinfo", "psi.soi_so"): darwin.SocketFdInfo.so.offset,
    ("struct socket_fdinfo", "psi.soi_family"): darwin.SocketFdInfo.family.offset,
    ("struct socket_fdinfo", "psi.soi_kind"): darwin.SocketFdInfo.kind.offset,
    ("struct socket_fdinfo", "psi.soi_proto"): darwin.SocketFdInfo.proto.offset,
    ("struct in_sockinfo", "insi_lport"): darwin.InSockInfo.lport.offset,
    ("struct in_sockinfo", "insi_vflag"): darwin.InSockInfo.vflag.offset,
    ("struct in_sockinfo", "insi_laddr"): darwin.InSockInfo.laddr.offset,
    ("struct tcp_sockinfo", "tcpsi_state"): darwin.TcpSockInfo.state.offset,
    ("struct proc_bsdinfo", "pbi_ppid"): darwin.PPID * 4,
    ("struct proc_bsdinfo", "pbi_uid"): darwin.BsdInfo.uid.offset,
    ("struct proc_bsdinfo", "pbi_start_tvsec"): darwin.BsdInfo.start_tvsec.offset,
}


def main() -> int:
    wanted = {f"sizeof({name})": ctypes.sizeof(made) for name, made in SIZES.items()}
    wanted |= {f"offsetof({name}, {field})": offset for (name, field), offset in OFFSETS.items()}
    asserts = [f'_Static_assert({text} == {n}, "{text} is not {n}");' for text, n in wanted.items()]
    source = ["#include <stddef.h>", "#include <libproc.h>", "#include <sys/proc_info.h>", *asserts]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "structs.c"
        path.write_text("\n".join([*source, "int main(void) { return 0; }", ""]), encoding="utf-8")
        command = ["/usr/bin/clang", "-fsyntax-only", str(path)]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
