"""The menus that the simulated router knows: names, defaults and what they refer to, per version.

A line is one menu:

    PATH KIND[@VERSIONS] PROPERTY...

KIND     list: items; ordered: items whose order matters (place-before=, move); settings: one item, only set;
         status: one item, only read; view: items that other things make, only read or removed
VERSIONS 6 or 7, or 7.18+: where the menu is (a property may have them too)
PROPERTY NAME[:TYPE[(OF)]][=DEFAULT][!][@VERSIONS]; "!" is required when an item is added; "-NAME" is only read. A default of "~" is
         empty and not shown while it is. Without a default the property is absent until it is set.
TYPE     what a value must be (values.py); text when none is named. OF: the range of an int, "1..255", or the words that are known,
         "ping|arp"; of an enumeration one, of a choice several with commas, or with "!" all others

Sources: MikroTik's manual, published exports. What they leave open is listed in README.md.
"""
import functools
import re

MENUS = """
/system/identity          settings  name=MikroTik
/system/clock             settings  time-zone-autodetect:bool=yes time-zone-name=UTC -date -time
/system/note              settings  show-at-login:bool=yes note=~
/system/resource          status    -uptime -version -free-memory -total-memory -cpu -cpu-count -cpu-load -free-hdd-space -total-hdd-space -architecture-name -board-name -platform
/system/routerboard       status    -routerboard -model -serial-number
/system/device-mode       status@7  -mode -scheduler -fetch -container
/system/script            list      name! source=~ owner=admin policy=ftp,reboot,read,write,policy,test,password,sniff,sensitive,romon dont-require-permissions:bool=no comment=~ -run-count
/system/scheduler         list      name! start-date:text start-time=startup interval:time=0s on-event=~ -owner policy=ftp,reboot,read,write,policy,test,password,sniff,sensitive,romon disabled:bool=no comment=~ -run-count -next-run
/system/script/environment view     -name -user -value
/system/script/job        view      -owner -script -started -type
/system/package           view      -name -version
/user/group               list      name! policy=~ comment=~
/user                     list      name! group=full password:secret=~ address=~ disabled:bool=no comment=~
/file                     view      -name -type -size -creation-time contents
/log                      view      -time -topics -message
/certificate              list      name common-name=~ trusted:bool=no

/interface                view      name -type mtu -actual-mtu disabled:bool=no comment=~ -running -mac-address -rx-byte -tx-byte -rx-packet -tx-packet -link-downs -last-link-up-time
/interface/ethernet       fixed     name! -default-name mtu:int(32..65536)=1500 mac-address arp=enabled comment=~ disabled:bool=no -running
/interface/bridge         list      name:name! mtu=auto arp=enabled protocol-mode=rstp vlan-filtering:bool=no pvid:int(1..4094)=1 fast-forward:bool=yes comment=~ disabled:bool=no -running
/interface/bridge/port    list      bridge:bridge! interface:interface! pvid:int(1..4094)=1 frame-types=admit-all ingress-filtering:bool=no@6 ingress-filtering:bool=yes@7 horizon=none hw:bool=yes path-cost=10 priority=0x80 comment=~ disabled:bool=no -hw-offload
/interface/bridge/vlan    list      bridge:bridge! vlan-ids! tagged=~ untagged=~ comment=~ disabled:bool=no
/interface/vlan           list      name:name! interface:interface! vlan-id:int(1..4095)! mtu:int(32..65536)=1500 arp=enabled use-service-tag:bool=no comment=~ disabled:bool=no -running
/interface/veth           list@7    name:name! address! gateway=~ comment=~ disabled:bool=no -running
/interface/list           list      name! include=~ exclude=~ comment=~
/interface/list/member    list      list:interface-list! interface:interface! comment=~ disabled:bool=no
/interface/pppoe-client   list      name:name! interface:interface! user=~ password:secret=~ add-default-route:bool=no default-route-distance:int(0..255)=1 use-peer-dns:bool=no profile=default service-name=~ ac-name=~ comment=~ disabled:bool=yes -running
/interface/pppoe-server/server list interface:interface! service-name=~ default-profile=default authentication=pap,chap,mschap1,mschap2 one-session-per-host:bool=no comment=~ disabled:bool=yes
/interface/l2tp-client    list      name:name! connect-to:address! user! password:secret=~ profile=default-encryption keepalive-timeout:int=60 dial-on-demand:bool=no add-default-route:bool=no default-route-distance:int(0..255)=1 use-ipsec:bool=no allow=pap,chap,mschap1,mschap2 max-mtu:int=1450 max-mru:int=1450 comment=~ disabled:bool=yes -running
/interface/lte            fixed     name! -default-name apn-profiles=default mtu:int=1500 comment=~ disabled:bool=no -running
/interface/wireless       fixed     name! -default-name mode=station ssid=MikroTik band=2ghz-b/g frequency=2412 security-profile=default comment=~ disabled:bool=yes -running

/ip/address               list      address:prefix! interface:interface! network:address comment=~ disabled:bool=no -actual-interface -dynamic -invalid
/ip/route                 list      dst-address:prefix=0.0.0.0/0 gateway! distance:int(1..255)=1 scope:int(0..255)=30 target-scope:int(0..255)=10 check-gateway:enumeration(none|ping|arp)=none@6 check-gateway:enumeration(none|ping|arp|bfd)=none@7 routing-mark@6 routing-table:table=main@7 suppress-hw-offload:bool=no@7 pref-src type@6 blackhole:flag@7 comment=~ disabled:bool=no -active -dynamic -inactive -static -gateway-status
/ip/route/rule            ordered@6 src-address:prefix dst-address:prefix interface routing-mark action:rule-action=lookup table=main comment=~ disabled:bool=no
/ip/dns                   settings  servers=~ allow-remote-requests:bool=no cache-size=2048KiB max-udp-packet-size:int=4096 -dynamic-servers
/ip/dns/static            list      name! address:address ttl:time=1d comment=~ disabled:bool=no
/ip/settings              settings  ip-forward:bool=yes rp-filter:enumeration(no|loose|strict)=no tcp-syncookies:bool=no send-redirects:bool=yes
/ip/service               fixed     name! port:int(1..65535) address=~ certificate=none disabled:bool=no
/ip/cloud                 settings  ddns-enabled=no update-time:bool=yes
/ip/pool                  list      name! ranges! next-pool=none comment=~
/ip/dhcp-client           list      interface:interface! add-default-route:enumeration(yes|no|special-classless)=yes default-route-distance:int(0..255)=1 use-peer-dns:bool=yes use-peer-ntp:bool=yes dhcp-options=hostname,clientid comment=~ disabled:bool=no -address -gateway -status
/ip/dhcp-server           list      name! interface:interface! address-pool=static-only lease-time:time=10m authoritative=yes comment=~ disabled:bool=no
/ip/dhcp-server/network   list      address:prefix! gateway=~ dns-server=~ netmask=0 comment=~
/ip/dhcp-server/lease     list      address! mac-address! server=all comment=~ disabled:bool=no
/ip/firewall/filter       ordered   chain! action:filter-action=accept RULE CONNECTION TRACKED hw-offload:bool reject-with log:bool=no log-prefix=~ comment=~ disabled:bool=no -bytes -packets -dynamic -invalid
/ip/firewall/nat          ordered   chain! action:nat-action=accept RULE CONNECTION to-addresses to-ports log:bool=no log-prefix=~ comment=~ disabled:bool=no -bytes -packets -dynamic -invalid
/ip/firewall/mangle       ordered   chain! action:mangle-action=accept RULE CONNECTION TRACKED new-connection-mark new-packet-mark new-routing-mark@6 new-routing-mark:table@7 new-mss passthrough:bool=yes log:bool=no log-prefix=~ comment=~ disabled:bool=no -bytes -packets -dynamic -invalid
/ip/firewall/raw          ordered   chain! action:raw-action=accept RULE comment=~ disabled:bool=no -bytes -packets -dynamic -invalid
/ip/firewall/address-list list      list! address! timeout:time comment=~ disabled:bool=no -dynamic -creation-time
/ip/firewall/connection   view      -protocol -src-address -dst-address -reply-src-address -reply-dst-address -connection-mark -timeout -tcp-state -assured -confirmed -seen-reply
/ip/firewall/connection/tracking settings enabled=auto tcp-established-timeout:time=1d udp-timeout:time=10s -max-entries -total-entries
/ip/neighbor              view      -interface -address -mac-address -identity -platform -version -board -age
/ip/hotspot               list      name! interface:interface! address-pool=none profile=default idle-timeout=5m keepalive-timeout=none disabled:bool=yes
/ip/hotspot/profile       list      name! hotspot-address:address=0.0.0.0 dns-name=~ login-by=cookie,http-chap use-radius:bool=no rate-limit=~
/ip/hotspot/user          list      name! password:secret=~ profile=default server=all comment=~ disabled:bool=no
/ip/hotspot/active        view      -user -address -mac-address -login-by -uptime -bytes-in -bytes-out -server
/ipv6/address             list      address! interface:interface! advertise:bool=yes comment=~ disabled:bool=no -dynamic
/ipv6/route               list      dst-address=::/0 gateway! distance:int=1 comment=~ disabled:bool=no -active -dynamic
/ipv6/settings            settings  disable-ipv6:bool=no@7 forward:bool=yes accept-redirects=yes-if-forwarding-disabled accept-router-advertisements=yes-if-forwarding-disabled

/routing/table            list@7    name! fib:flag comment=~ disabled:bool=no -dynamic
/routing/rule             ordered@7 src-address:prefix dst-address:prefix interface:interface routing-mark:table action:rule-action=lookup table:table=main min-prefix:int(0..128) chain@7.22+ comment=~ disabled:bool=no -default@7.22+
/routing/settings         settings@7.15+ single-process:bool=no check-gateway-ping-interval:time=10s@7.21+ check-gateway-ping-timeout:time=1s@7.21+ check-gateway-ping-count:int(0..65535)=2@7.21+ policy-rules=mangle,vrf-lookup,vrf-unreach,local,user,main@7.22+
/routing/ospf/instance    list      name! version:int=2@7 router-id=0.0.0.0@6 router-id=main@7 redistribute=~@7 redistribute-connected=no@6 comment=~ disabled:bool=no
/routing/ospf/area        list      name! instance=default area-id=0.0.0.0 type=default comment=~ disabled:bool=no
/routing/ospf/network     list@6    network:prefix! area! comment=~ disabled:bool=no
/routing/ospf/interface-template list@7 area! interfaces=~ networks=~ type=broadcast cost:int=1 comment=~ disabled:bool=no
/routing/ospf/neighbor    view      -instance -address -router-id -interface -state -adjacency -state-changes
/routing/bgp/instance     list@6    name! as:int=65530 router-id=0.0.0.0 redistribute-connected:bool=no comment=~ disabled:bool=no
/routing/bgp/peer         list@6    name! instance=default remote-address:address! remote-as:int(1..4294967295)! hold-time:time=3m keepalive-time:time update-source=none comment=~ disabled:bool=no -state -prefix-count -established -uptime
/routing/bgp/instance     list@7.20+ name! as:int! router-id=~ comment=~ disabled:bool=no
/routing/bgp/network      list@6    network:prefix! synchronize:bool=yes comment=~ disabled:bool=no
/routing/bgp/template     list@7    name! as:int router-id=~ keepalive-time:time hold-time:time comment=~ disabled:bool=no
/routing/bgp/connection   list@7    name! instance@7.20+ remote.address! remote.as:int local.role! local.address as:int templates=default keepalive-time:time hold-time:time output.network=~ comment=~ disabled:bool=no
/routing/bgp/session      view@7    -name -remote.address -remote.as -established -uptime -prefix-count

/ppp/profile              list      name! local-address=~ remote-address=~ rate-limit=~ dns-server=~ bridge=~ only-one=default use-encryption=default comment=~
/ppp/secret               list      name! password:secret=~ service=any profile=default local-address=~ remote-address=~ comment=~ disabled:bool=no
/ppp/aaa                  settings  use-radius:bool=no accounting:bool=yes interim-update:time=0s
/ppp/active               view      -name -service -caller-id -address -uptime -session-id
/radius                   list      address:address! service=~ secret:secret=~ authentication-port:int=1812 accounting-port:int=1813 timeout:time=300ms comment=~ disabled:bool=no
/queue/simple             ordered   name! target=~ max-limit=0/0 limit-at=0/0 comment=~ disabled:bool=no
/tool/netwatch            list      host:address! type=simple@7 interval:time=10s@7 interval:time=1m@6 timeout:time=3s@7 timeout:time=1s@6 up-script=~ down-script=~ comment=~ disabled:bool=no -status -since
/tool/romon               settings  enabled:bool=no
/snmp                     settings  enabled:bool=no contact=~ location=~
"""

# What rules of a firewall can match: all; all but raw, which comes before connections are tracked; filter and mangle.
WORDS = {
    "RULE": """protocol src-address:addresses dst-address:addresses src-address-list dst-address-list src-address-type:choice(ADDRESS-TYPES)
dst-address-type:choice(ADDRESS-TYPES) src-port:ports dst-port:ports in-interface:interface out-interface:interface
in-interface-list:interface-list out-interface-list:interface-list in-bridge-port packet-mark per-connection-classifier:pcc tcp-mss
hotspot:choice(auth|from-client|http|local-dst|to-client) limit packet-size ttl jump-target address-list address-list-timeout:time
ipsec-policy:enumeration(in,ipsec|in,none|out,ipsec|out,none)""".replace(
        "ADDRESS-TYPES", "unicast|local|broadcast|multicast|blackhole|prohibit|unreachable"),
    "CONNECTION": "connection-mark routing-mark connection-type",
    "TRACKED": "connection-state:choice(established|related|new|invalid|untracked) connection-nat-state tcp-flags",
}

PERSONALITIES = {"6.49": (6, 49, 13), "7.16": (7, 16, 2), "7.20": (7, 20, 4), "7.21": (7, 21, 2), "7.22": (7, 22, 1)}

PROPERTY = re.compile(r"^(-?)([\w.-]+?)(?::([\w-]+)(?:\(([^)]*)\))?)?(?:=(.*?))?(!?)(?:@([\d.]+\+?))?$")


class Property:
    def __init__(self, readonly, name, kind, of, default, required):
        self.readonly = readonly == "-"
        self.name = name
        self.kind = kind or "text"
        self.of = of  # what its type leaves open: a range, or words
        self.default = "" if default == "~" else default  # None: absent until set
        self.required = required == "!"


class Menu:
    def __init__(self, path, kind):
        self.path = path
        self.kind = kind
        self.properties = {}

    @property
    def is_single(self):
        return self.kind in ("settings", "status")

    @property
    def can_add(self):
        return self.kind in ("list", "ordered")


def has_version(wanted, version):
    """wanted: "6", "7", "7.18+" or None."""
    if wanted is None:
        return True
    if wanted.endswith("+"):
        return version >= tuple(int(part) for part in wanted[:-1].split("."))
    return version[0] == int(wanted)


@functools.lru_cache(maxsize=None)
def menus(version):
    """{path: Menu} of a version such as (7, 20, 4)."""
    found = {}
    for line in MENUS.strip().splitlines():
        if not line:
            continue
        path, kind, *words = " ".join(WORDS.get(word, word) for word in line.split()).split()
        kind, _, wanted = kind.partition("@")
        if not has_version(wanted or None, version):
            continue
        menu = found[path] = Menu(path, kind)
        for word in words:
            *parts, wanted = PROPERTY.match(word).groups()
            if has_version(wanted, version):
                menu.properties[parts[1]] = Property(*parts)
    return found
