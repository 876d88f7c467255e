"""
The device set of the published system S1 (central configuration with Paramiko) and a script of 496 lines for each of its ten
routers: interface names, a bridge and its ports, VLANs on access and trunk ports, addresses, NAT, mangle and filter rules, in the
numbers that make exports of 47 to 59 KB, as the paper measured. Its own script is not published; this one is made from its list of
parts. The same seedless text comes out every time.
"""
import dataclasses

LINES = 496


@dataclasses.dataclass(frozen=True)
class Device:
    name: str
    board: str
    address: str  # of its management interface, with prefix
    ethernets: int


DEVICES = tuple(
    [Device(f"CHR-{n}", "CHR", f"10.228.254.{10 + n}/24", 8) for n in range(1, 6)] +
    [Device(f"RB750-{n}", "RB750", f"10.{222 + n}.22{1}.{24 - n}/29", 5) for n in range(1, 6)])

VLANS = 40
DEPARTMENTS = ("rektorat", "perpustakaan", "laboratorium", "keuangan", "akademik", "fakultas-teknik", "fakultas-hukum", "asrama")
SERVICES = (("tcp", 22, "ssh"), ("tcp", 23, "telnet"), ("tcp", 25, "smtp"), ("tcp", 80, "http"), ("tcp", 135, "rpc"),
            ("udp", 137, "netbios"), ("tcp", 443, "https"), ("tcp", 445, "smb"), ("udp", 161, "snmp"), ("udp", 1900, "ssdp"),
            ("tcp", 3389, "rdp"), ("tcp", 5900, "vnc"), ("udp", 5353, "mdns"), ("tcp", 8291, "winbox"))


def vlan(number):
    """(id, department, network's third octet) of the n-th VLAN."""
    return 100 + number, f"{DEPARTMENTS[number % len(DEPARTMENTS)]}-{number // len(DEPARTMENTS) + 1}", number


def parts(index, device):
    """Every line, as (what may be cut off at the end, line)."""
    second = 16 + index
    yield f"/system identity set name={device.name}"
    for n in range(1, device.ethernets + 1):
        role = "uplink" if n == 1 else "trunk" if n == 2 else "access"
        yield f"/interface ethernet set [ find default-name=ether{n} ] comment=\"{role} port {n} of {device.name}, managed centrally\""
    yield "/interface bridge add name=bridge-lan protocol-mode=rstp comment=\"all access and trunk ports\""
    for n in range(2, device.ethernets + 1):
        yield f"/interface bridge port add bridge=bridge-lan interface=ether{n} pvid={vlan(n)[0] if n > 2 else 1}"
    for number in range(VLANS):
        identity, name, _ = vlan(number)
        untagged = f" untagged=ether{3 + number % (device.ethernets - 2)}"
        yield f"/interface vlan add name=vlan{identity} interface=bridge-lan vlan-id={identity} comment=\"{name}\""
        yield f"/interface bridge vlan add bridge=bridge-lan vlan-ids={identity} tagged=bridge-lan,ether2{untagged} comment=\"{name}\""
        yield f"/ip address add address=172.{second}.{number}.1/24 interface=vlan{identity} comment=\"gateway of {name}\""
        yield f"/ip pool add name=pool-{identity} ranges=172.{second}.{number}.10-172.{second}.{number}.250"
        yield f"/ip dhcp-server network add address=172.{second}.{number}.0/24 gateway=172.{second}.{number}.1 dns-server=8.8.8.8,8.8.4.4"
    for number in range(VLANS):
        identity, name, _ = vlan(number)
        yield (f"/ip firewall nat add chain=srcnat action=masquerade out-interface=ether1 src-address=172.{second}.{number}.0/24 "
               f"comment=\"internet for {name}\"")
    for number in range(VLANS):
        identity, name, _ = vlan(number)
        yield (f"/ip firewall mangle add chain=prerouting action=mark-connection new-connection-mark=conn-{identity} passthrough=yes "
               f"connection-state=new in-interface=vlan{identity} src-address=172.{second}.{number}.0/24 comment=\"{name}\"")
    number = 0
    while True:  # as many rules as fill the script
        protocol, port, service = SERVICES[number % len(SERVICES)]
        identity, name, third = vlan(number // len(SERVICES))
        action = "accept" if service in ("http", "https") else "drop"
        yield (f"/ip firewall filter add chain=forward action={action} protocol={protocol} dst-port={port} in-interface=vlan{identity} "
               f"src-address=172.{second}.{third}.0/24 comment=\"{service} of {name}\"")
        number += 1


def script(index):
    """The lines of the index-th device, LINES of them."""
    lines = []
    for line in parts(index, DEVICES[index]):
        lines.append(line)
        if len(lines) == LINES:
            return lines
