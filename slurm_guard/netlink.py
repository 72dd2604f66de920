"""The frame of the kernel's sock_diag messages, for the hook's snapshot and for the sampler."""

import struct
import sys

NETLINK_SOCK_DIAG = 4
BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
INFO, CGROUP = 2, 21  # INET_DIAG_INFO: tcp_info; INET_DIAG_CGROUP_ID: where the socket was made (Linux 5.9)
PROTOCOLS = {"tcp": (6, 2), "tcp6": (6, 10), "udp": (17, 2), "udp6": (17, 10)}  # IPPROTO, AF on Linux
ESTABLISHED, SYN_SENT, CLOSE_WAIT, UNCONNECTED, LISTEN = 1, 2, 8, 7, 10
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_LENGTH_KIND = struct.Struct("=IH")  # its first fields
_REQUEST = struct.Struct("=BBBBI48x")  # inet_diag_req_v2 with an empty socket id
# the same with one: states, ports, addresses, any interface, cookie
_ONE, _REQUEST_ONE = struct.Struct("=BBBxI2s2s16s16s4xQ"), 1
# INET_DIAG_REQ_BYTECODE: code, how far on where it holds, how far where not (the op behind it: the port)
_OP, _JUMP, _D_EQ, _BYTECODE, _LENGTH_KIND_2 = struct.Struct("=BBH"), 1, 12, 1, struct.Struct("=HH")
_D_COND, _HOST = 8, struct.Struct("=BBxxi")  # inet_diag_hostcond: family, bits of the address, port or -1


def dump_request(table: str, states: int, extensions: int = 0) -> bytes:
    """A request for all sockets of `table` (tcp, tcp6, udp, udp6) in a set of states (bits)."""
    protocol, family = PROTOCOLS[table]
    return request(_REQUEST.pack(family, protocol, extensions, 0, states))


def request(body: bytes) -> bytes:
    """A request for a dump, with its header."""
    return _HEADER.pack(_HEADER.size + len(body), BY_FAMILY, _REQUEST_DUMP, 1, 0) + body


def spans(data: bytes) -> tuple[list[tuple[int, int]], bool]:
    """As `messages`, but where each body begins and ends: nothing is copied."""
    found: list[tuple[int, int]] = []
    offset, size = 0, len(data)
    while offset + 16 <= size:
        length, kind = _LENGTH_KIND.unpack_from(data, offset)
        if kind == _DONE:
            return found, True
        if kind == _ERROR or length < 16:
            messages(data[offset:])  # raises
        found.append((offset + 16, offset + length))
        offset += (length + 3) & ~3
    return found, not found


def messages(data: bytes) -> tuple[list[bytes], bool]:
    """The messages' bodies in one datagram, and whether the dump has ended. Raises OSError for an error."""
    bodies: list[bytes] = []
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        if kind == _DONE:
            return bodies, True
        body = data[offset + _HEADER.size : offset + length]
        if kind == _ERROR:
            raise OSError(-int.from_bytes(body[:4], sys.byteorder, signed=True), "sock_diag refused")
        if length < _HEADER.size:
            raise OSError(71, "sock_diag answered out of form")
        bodies.append(body)
        offset += (length + 3) & ~3
    return bodies, not bodies


def socket_request(table: str, local: bytes, peer: bytes, cookie: int, extensions: int = 0) -> bytes:
    """A request for one socket. `local`, `peer`: 16 bytes of address and 2 of port, as messages have them."""
    protocol, family = PROTOCOLS[table]
    body = _ONE.pack(
        family, protocol, extensions, 0xFFF, local[16:], peer[16:], local[:16], peer[:16], cookie
    )
    return _HEADER.pack(_HEADER.size + len(body), BY_FAMILY, _REQUEST_ONE, 1, 0) + body


def ports_request(table: str, states: int, ports: list[int], extensions: int = 0) -> bytes:
    """A request for the sockets that lead to one of these ports; at most 16 of them. Linux 4.16 and later."""
    code = b""
    for n_after, port in reversed(list(enumerate(reversed(ports)))):
        # a jump to the end stands behind each but the last; where that one does not fit, it is out
        left = 12 * n_after
        code += _OP.pack(_D_EQ, 8, 12) + _OP.pack(0, 0, port)
        code += _OP.pack(_JUMP, 4, left) if n_after else b""
    return _coded(table, states, extensions, code)


def loopback_request(table: str, states: int, extensions: int = 0) -> bytes:
    """A request for the sockets whose far end is on loopback: both ends of a connection there."""
    code = _OP.pack(_D_COND, 16, 20) + _HOST.pack(2, 8, -1) + bytes((127, 0, 0, 0))  # of mapped ones as well
    if PROTOCOLS[table][1] == 10:
        one = _OP.pack(_D_COND, 28, 32) + _HOST.pack(10, 128, -1) + bytes(15) + b"\1"
        code = one + _OP.pack(_JUMP, 4, 4 + len(code)) + code
    return _coded(table, states, extensions, code)


def outward_request(table: str, states: int, nets: list[tuple[int, bytes, int]]) -> bytes:
    """A request for the sockets whose far end is in none of these networks. `nets`: 32 or 128 bits, address,
    leading bits that are the network's; at most 64."""
    is_6, code = PROTOCOLS[table][1] == 10, b""
    for bits, address, length in nets:
        if bits == 32 or is_6:  # of mapped addresses as well
            family = 2 if bits == 32 else 10
            size = 12 + len(address)
            # where it is in this one it is out: the jump leads behind the end
            out = _OP.pack(_JUMP, 4, 8 + len(code))
            code = _OP.pack(_D_COND, size, size + 4) + _HOST.pack(family, length, -1) + address + out + code
    return _coded(table, states, 0, code)


def _coded(table: str, states: int, extensions: int, code: bytes) -> bytes:
    protocol, family = PROTOCOLS[table]
    body = _REQUEST.pack(family, protocol, extensions, 0, states)
    return request(body + _LENGTH_KIND_2.pack(4 + len(code), _BYTECODE) + code)
