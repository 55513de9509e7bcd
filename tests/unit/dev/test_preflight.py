"""What the preflight makes of this machine's tables."""

from belay_cluster import layout, preflight
from belay_cluster.process import parse_stat

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:094B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:280A 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 3 1 0 100 0 0 10 0
"""


def test_only_listening_sockets_count_and_an_ipv6_wildcard_takes_both() -> None:
    assert preflight.listening(TCP) == {("127.0.0.1", 2379), ("0.0.0.0", 6443)}


def test_a_wildcard_listener_takes_the_port_on_our_address() -> None:
    found = preflight.conflicts({("0.0.0.0", 6443), ("127.0.0.1", 2379), ("192.0.2.1", 10250)}, layout.PORTS)
    assert [(port.process, port.number) for port in found] == [("etcd", 2379), ("kube-apiserver", 6443)]


def test_routes_that_overlap_are_named_and_our_own_bridge_is_not() -> None:
    table: list[dict[str, object]] = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "10.96.12.0/24", "dev": "vpn0"},
        {"dst": layout.POD_CIDR, "dev": layout.BRIDGE},
        {"dst": "192.0.2.0/24", "dev": "eth0"},
    ]
    assert preflight.overlaps(table) == ["10.96.0.0/16 is taken: this machine routes 10.96.12.0/24 to vpn0."]


def test_stat_is_read_past_a_command_name_with_brackets() -> None:
    fields = ["S", *map(str, range(4, 22)), "987654"]
    assert parse_stat(f"12 (a) b (c)) {' '.join(fields)}") == ("S", 987654)
