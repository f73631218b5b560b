package egress

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Rule names a place that a plugin may reach.
type Rule struct {
	Host    string // a name, a name under a domain as "*.example.com", or an address
	Ports   []int
	Private bool // may be an address of the office's own network, or of this machine
}

const maxRulePorts = 20

var (
	nameForm    = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?$`)
	settingForm = regexp.MustCompile(`\$\{([a-z0-9.-]+)\}`)
)

// Expand puts values of the configuration into a rule as the manifest has it: "${imap.host}:${imap.port}". It is false
// when one of them is empty: there is nowhere to go then.
func Expand(to string, values map[string]string) (string, bool) {
	whole := true
	out := settingForm.ReplaceAllStringFunc(to, func(name string) string {
		value := strings.TrimSpace(values[name[2:len(name)-1]])
		if value == "" {
			whole = false
		}
		if strings.Count(value, ":") > 1 && !strings.HasPrefix(value, "[") {
			value = "[" + value + "]" // an address with colons
		}
		return value
	})
	return out, whole
}

// ParseRule reads "host:port,port".
func ParseRule(to string, private bool) (Rule, error) {
	at := strings.LastIndexByte(to, ':')
	if at < 0 || len(to) > 400 {
		return Rule{}, fmt.Errorf("%.100q is no host with ports", to)
	}
	host, ok := cleanHost(to[:at])
	if base, wild := strings.CutPrefix(to[:at], "*."); wild {
		host, ok = cleanHost(base)
		_, err := netip.ParseAddr(host)
		ok = ok && err != nil && strings.Contains(host, ".")
		host = "*." + host
	}
	if !ok {
		return Rule{}, fmt.Errorf("%.100q is no name of a host", to[:at])
	}
	r := Rule{Host: host, Private: private}
	for port := range strings.SplitSeq(to[at+1:], ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(port), 10, 16)
		if err != nil || n == 0 || len(r.Ports) == maxRulePorts {
			return Rule{}, fmt.Errorf("%.100q are no ports", to[at+1:])
		}
		r.Ports = append(r.Ports, int(n))
	}
	return r, nil
}

// cleanHost gives the one way in which a host is written here: a name in lower case without its last dot, or an
// address.
func cleanHost(host string) (string, bool) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		return ip.Unmap().String(), closed && err == nil && ip.Is6() && ip.Zone() == ""
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String(), ip.Zone() == ""
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last != "" && strings.Trim(last, "0123456789") == "" {
		return "", false // 127.1 and 2130706433 are addresses to some
	}
	return host, len(host) <= 253 && nameForm.MatchString(host)
}

// match finds what covers a host and port, a Private rule first. The host is clean.
func match(rules []Rule, host string, port uint16) (found Rule, ok bool) {
	for _, r := range rules {
		if slices.Contains(r.Ports, int(port)) && r.names(host) && (!ok || r.Private) {
			found, ok = r, true
		}
	}
	return found, ok
}

func (r Rule) names(host string) bool {
	if domain, wild := strings.CutPrefix(r.Host, "*"); wild {
		return strings.HasSuffix(host, domain) && len(host) > len(domain)
	}
	return r.Host == host
}

// covers tells whether the rule lets its host lead to an address.
func (r Rule) covers(ip netip.Addr) bool {
	ip, ok := plainAddr(ip)
	if !ok || inAny(ip, never()) {
		return false
	}
	return r.Private || !inAny(ip, private()) && (ip.Is4() || inAny(ip, givenOut()))
}

// plainAddr takes an address out of what it may be wrapped in.
func plainAddr(ip netip.Addr) (netip.Addr, bool) {
	if !ip.IsValid() || ip.Zone() != "" {
		return ip, false
	}
	ip = ip.Unmap()
	if b := ip.As16(); ip.Is6() && netip.MustParsePrefix("64:ff9b::/96").Contains(ip) { // NAT64
		return netip.AddrFrom4([4]byte(b[12:])), true
	}
	return ip, true
}

func inAny(ip netip.Addr, ranges []string) bool {
	return slices.ContainsFunc(ranges, func(r string) bool { return netip.MustParsePrefix(r).Contains(ip) })
}

// never are addresses to which no rule leads: nobody's, everybody's, and where clouds give their machines secrets.
func never() []string {
	return []string{
		"0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "169.254.169.254/32", "169.254.170.2/32", "100.100.100.200/32", "168.63.129.16/32",
		"::/128", "ff00::/8", "fd00:ec2::254/128", "fd20:ce::254/128",
		"2002::/16", "2001::/32", "::ffff:0:0:0/96", "64:ff9b:1::/48", // IPv4 in other clothes
	}
}

// private are addresses that are not of the world: this machine, the office, the provider's plumbing, examples.
func private() []string {
	return []string{
		"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
		"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "2001::/23", "2001:db8::/32", "3fff::/20",
	}
}

// givenOut is what has been given out of IPv6 for the world; all else of it is private.
func givenOut() []string { return []string{"2000::/3"} }
