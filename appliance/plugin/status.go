package plugin

import (
	"maps"
	"slices"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
)

// State says what a plugin's process does.
type State string

// The states of a plugin.
const (
	Starting    State = "starting"
	Running     State = "running"
	Backoff     State = "backoff"      // it fell and is started again soon
	OpenCircuit State = "open-circuit" // it fell too often and is tried again later
	Stopped     State = "stopped"
	Disabled    State = "disabled"
)

// Status is how a plugin fares.
type Status struct {
	ID, Name, Version string
	State             State
	PID               int // 0 when no process lives
	Since             time.Time
	Restarts          int          // since Karov started
	LastError         *fault.Error // why it fell, or why its configuration was refused; nil when all is well
	Pulse             *Pulse       // how it says it is; nil when it says nothing, or does not run
	Isolation         string       // how far it is confined, in a word
	Memory            int64        // bytes that its process occupies; 0 when none lives
	Numbers           Numbers
	Accounts          []Health
	Channels          []string
}

// Health is how one account of a plugin fares, as the plugin reported it. Key names a sentence; Detail is what the
// other side said, word for word.
type Health struct {
	Channel, Account string
	OK               bool
	Key              string
	Params           map[string]string
	Detail           string
	Since            time.Time // of OK and Key as they are
}

// account is one of the office's own accounts.
type account struct{ channel, account string }

// snapshot gives the status as it is now.
func (p *supervised) snapshot() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status
	s.Channels = slices.Clone(p.m.Provides.Channels)
	s.Accounts = nil
	s.Numbers = p.meter.numbers()
	if s.Pulse != nil {
		pulse := *s.Pulse
		pulse.Params = maps.Clone(pulse.Params)
		s.Pulse = &pulse
	}
	for _, a := range p.healthOrder {
		health := p.health[a]
		health.Params = maps.Clone(health.Params)
		s.Accounts = append(s.Accounts, health)
	}
	return s
}

// set changes the status and tells those who want to know.
func (p *supervised) set(change func(*Status)) {
	p.mu.Lock()
	before := p.status.State
	change(&p.status)
	if p.status.State != before {
		p.status.Since = p.host.o.Now()
	}
	p.mu.Unlock()
	p.host.changed()
}

// maxAccounts is how many accounts one plugin may report.
const maxAccounts = 200

// reported keeps how an account fares. Since moves only when the account's state did.
func (p *supervised) reported(h Health) error {
	a := account{h.Channel, h.Account}
	p.mu.Lock()
	old, known := p.health[a]
	if !known && len(p.health) >= maxAccounts {
		p.mu.Unlock()
		return fault.New(fault.TooMany, "plugin.too-many-accounts")
	}
	h.Since = p.host.o.Now()
	if known && old.OK == h.OK && old.Key == h.Key {
		h.Since = old.Since
	}
	same := known && old.OK == h.OK && old.Key == h.Key && old.Detail == h.Detail && maps.Equal(old.Params, h.Params)
	p.health[a] = h
	if !known {
		p.healthOrder = append(p.healthOrder, a)
	}
	p.mu.Unlock()
	if !same {
		p.host.changed()
	}
	return nil
}

// configured keeps the accounts that a configuration opens, and forgets the health of those it no longer opens.
func (p *supervised) configured(opened []account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened = opened
	if len(opened) == 0 {
		return
	}
	p.healthOrder = slices.DeleteFunc(p.healthOrder, func(a account) bool {
		gone := !slices.Contains(opened, a)
		if gone {
			delete(p.health, a)
		}
		return gone
	})
}

// accounts gives the accounts that can send now: those that the configuration opens and those that were reported.
func (p *supervised) accounts() []account {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session == nil || !p.session.configured.Load() {
		return nil
	}
	out := slices.Clone(p.opened)
	for _, a := range p.healthOrder {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
