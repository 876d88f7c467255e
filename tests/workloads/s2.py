"""The two routers of the published system S2 (RouterOS 6.49): OSPF between them, PPPoE and Hotspot behind, users in RADIUS."""

TEMPLATE = """/interface bridge
add name=bridge-users
/interface bridge port
add bridge=bridge-users interface=ether3
add bridge=bridge-users interface=ether4
add bridge=bridge-users interface=ether5
/interface vlan
add name=vlan10 interface=bridge-users vlan-id=10
add name=vlan20 interface=bridge-users vlan-id=20
/ip address
add address=10.1.1.{own}/30 interface=ether2
add address=10.{number}0.10.1/24 interface=vlan10
add address=10.{number}0.20.1/24 interface=vlan20
/ip dhcp-client
add interface=ether1 default-route-distance={distance}
/ip pool
add name=pppoe ranges=10.{number}0.10.10-10.{number}0.10.250
add name=hotspot ranges=10.{number}0.20.10-10.{number}0.20.250
/ppp profile
add name=pppoe local-address=10.{number}0.10.1 remote-address=pppoe only-one=yes
/interface pppoe-server server
add interface=vlan10 service-name=pppoe default-profile=pppoe disabled=no
/ppp aaa
set use-radius=yes
/ip hotspot profile
add name=radius hotspot-address=10.{number}0.20.1 use-radius=yes
/ip hotspot
add name=hotspot interface=vlan20 address-pool=hotspot profile=radius disabled=no
/radius
add address=10.1.1.100 service=ppp,hotspot secret=mixradius timeout=3s
/routing ospf instance
add name=users router-id=10.255.255.{number} redistribute-connected=as-type-1
/routing ospf area
add name=backbone instance=users
/routing ospf network
add network=10.1.1.0/30 area=backbone
/ip firewall nat
add chain=srcnat action=masquerade out-interface=ether1
/ip firewall mangle
add chain=prerouting action=mark-connection new-connection-mark=ISP{number} connection-mark=no-mark in-interface=ether1
add chain=prerouting action=mark-routing new-routing-mark=to-ISP{number} connection-mark=ISP{number} in-interface=bridge-users
/ip route
add gateway=10.1.1.{other} distance={other_distance} check-gateway=ping
/system identity
set name=RTR-{number}
"""


def script(number):
    """Of RTR-1 or RTR-2."""
    return TEMPLATE.format(number=number, own=number, other=3 - number, distance=1, other_distance=2)
