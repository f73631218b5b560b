package staff

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	// sessionLife is how long a session lasts without being used: a long weekend does not sign anybody out.
	sessionLife = 14 * 24 * time.Hour
	// sessionStep is how often a used session's life is written anew.
	sessionStep = time.Hour
	tokenPrefix = "krv_"
)

// nobodysPassword is compared with when an address has no account, so that the answer takes as long. Nothing hashes to it.
const nobodysPassword = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

type session struct {
	Account string    `json:"account"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used"`
}

// SignIn opens a session for who knows the password. Remote is the machine that asks. Any refusal is the same
// Unauthenticated fault, but for TooMany, which says how long to wait.
func (r *Room) SignIn(ctx context.Context, email, password, remote string) (secret string, a Account, err error) {
	name := strings.ToLower(strings.TrimSpace(email))
	if len(name) > maxEmail { // it has no account; do not remember it in full
		name = name[:maxEmail]
	}
	names := []string{"email:" + name, "from:" + remote}
	if err := r.guesses.begin(names...); err != nil {
		return "", Account{}, err
	}
	defer r.guesses.end(names...)
	err = r.db.View(ctx, func(tx store.Tx) error {
		a, err = byEmail(tx, email)
		return err
	})
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return "", Account{}, err
	}
	known := r.knows(ctx, a, password)
	if err := ctx.Err(); err != nil {
		return "", Account{}, err
	}
	if !known {
		r.guesses.failed(names...)
		err := r.db.Update(ctx, func(tx store.Tx) error {
			return r.journal.Append(ctx, tx, journal.Fact{Name: "staff.refused", Entity: "staff", ID: a.ID})
		})
		return "", Account{}, errors.Join(fault.New(fault.Unauthenticated, "sign-in.refused"), err)
	}
	r.guesses.succeeded(names...)
	secret = newSecret()
	ctx = access.WithActor(ctx, a.Actor())
	err = r.db.Update(ctx, func(tx store.Tx) error {
		now, err := load(tx, a.ID)
		if err != nil || now.Disabled || now.Password != a.Password { // it ended while its password was compared
			return fault.New(fault.Unauthenticated, "sign-in.refused")
		}
		if err := putJSON(tx, sessionsBucket, secret, session{Account: a.ID, Created: r.now(), Used: r.now()}); err != nil {
			return err
		}
		return r.journal.Append(ctx, tx, journal.Fact{Name: "staff.signed-in", Entity: "staff", ID: a.ID})
	})
	if err != nil {
		return "", Account{}, err
	}
	return secret, a.shown(), nil
}

func (r *Room) knows(ctx context.Context, a Account, password string) bool {
	select {
	case r.guesses.hashing <- struct{}{}:
		defer func() { <-r.guesses.hashing }()
	case <-ctx.Done():
		return false
	}
	if a.ID == "" || len(password) > 1000 {
		passwordIs("", nobodysPassword)
		return false
	}
	return passwordIs(password, a.Password) && !a.Disabled
}

// newSecret makes 256 random bits as text.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func secretKey(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func putJSON(tx store.Tx, bucket, secret string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tx.Bucket(bucket).Put(secretKey(secret), raw)
	return nil
}

// Session gives the account whose session the secret opens. One that ended, or whose account did, is Unauthenticated.
func (r *Room) Session(ctx context.Context, secret string) (a Account, err error) {
	var s session
	err = r.db.View(ctx, func(tx store.Tx) error {
		raw := tx.Bucket(sessionsBucket).Get(secretKey(secret))
		if raw == nil || json.Unmarshal(raw, &s) != nil || r.now().Sub(s.Used) > sessionLife {
			return fault.New(fault.Unauthenticated, "access.sign-in")
		}
		a, err = load(tx, s.Account)
		if err != nil || a.Disabled {
			return fault.Wrap(err, fault.Unauthenticated, "access.sign-in")
		}
		return nil
	})
	if err == nil && r.now().Sub(s.Used) > sessionStep {
		s.Used = r.now()
		err = r.db.Update(ctx, func(tx store.Tx) error {
			if tx.Bucket(sessionsBucket).Get(secretKey(secret)) == nil {
				return fault.New(fault.Unauthenticated, "access.sign-in") // signed out meanwhile: do not bring it back
			}
			return putJSON(tx, sessionsBucket, secret, s)
		})
	}
	if err != nil {
		return Account{}, err
	}
	return a.shown(), nil
}

// SignOut ends a session. One that is no more is no fault.
func (r *Room) SignOut(ctx context.Context, secret string) error {
	return r.db.Update(ctx, func(tx store.Tx) error {
		sessions := tx.Bucket(sessionsBucket)
		if sessions.Get(secretKey(secret)) == nil {
			return nil
		}
		sessions.Delete(secretKey(secret))
		return r.journal.Append(ctx, tx, journal.Fact{Name: "staff.signed-out", Entity: "staff", ID: access.ActorFrom(ctx).ID})
	})
}

func endSessions(tx store.Tx, account string) {
	var ended [][]byte
	for key, raw := range tx.Bucket(sessionsBucket).Scan(nil, nil, false) {
		var s session
		if json.Unmarshal(raw, &s) != nil || s.Account == account {
			ended = append(ended, append([]byte(nil), key...))
		}
	}
	for _, key := range ended {
		tx.Bucket(sessionsBucket).Delete(key)
	}
}

// Token is an API token: it acts as the account it belongs to.
type Token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Account string    `json:"account"`
	Created time.Time `json:"created"`
}

// CreateToken makes a token for an account and gives its secret, which is never shown again.
func (r *Room) CreateToken(ctx context.Context, account, name string) (secret string, t Token, err error) {
	if err := r.gate.Require(ctx, access.Administer, access.Object{Entity: "staff"}); err != nil {
		return "", Token{}, err
	}
	t = Token{ID: record.NewID().String(), Name: name, Account: account, Created: r.now().UTC()}
	secret = tokenPrefix + newSecret()
	err = r.db.Update(ctx, func(tx store.Tx) error {
		a, err := load(tx, account)
		if err != nil {
			return err
		}
		if err := r.mayHandle(ctx, a); err != nil {
			return err
		}
		if err := putJSON(tx, tokensBucket, secret, t); err != nil {
			return err
		}
		return r.journal.Append(ctx, tx, journal.Fact{Name: "token.created", Entity: "token", ID: t.ID})
	})
	return secret, t, err
}

// Token gives the account that a token's secret acts as.
func (r *Room) Token(ctx context.Context, secret string) (a Account, err error) {
	err = r.db.View(ctx, func(tx store.Tx) error {
		raw := tx.Bucket(tokensBucket).Get(secretKey(secret))
		var t Token
		if raw == nil || json.Unmarshal(raw, &t) != nil {
			return fault.New(fault.Unauthenticated, "access.token")
		}
		a, err = load(tx, t.Account)
		if err != nil || a.Disabled {
			return fault.Wrap(err, fault.Unauthenticated, "access.token")
		}
		return nil
	})
	if err != nil {
		return Account{}, err
	}
	return a.shown(), nil
}

// Tokens lists all tokens without their secrets.
func (r *Room) Tokens(ctx context.Context) (tokens []Token, err error) {
	if err := r.gate.Require(ctx, access.Administer, access.Object{Entity: "staff"}); err != nil {
		return nil, err
	}
	err = r.db.View(ctx, func(tx store.Tx) error {
		for _, raw := range tx.Bucket(tokensBucket).Scan(nil, nil, false) {
			var t Token
			if err := json.Unmarshal(raw, &t); err != nil {
				return fault.Wrap(err, fault.Internal, "store.damaged", "what", tokensBucket)
			}
			tokens = append(tokens, t)
		}
		return nil
	})
	return tokens, err
}

// RevokeToken ends a token by its id.
func (r *Room) RevokeToken(ctx context.Context, id string) error {
	if err := r.gate.Require(ctx, access.Administer, access.Object{Entity: "staff"}); err != nil {
		return err
	}
	return r.db.Update(ctx, func(tx store.Tx) error {
		for key, raw := range tx.Bucket(tokensBucket).Scan(nil, nil, false) {
			var t Token
			if json.Unmarshal(raw, &t) == nil && t.ID == id {
				tx.Bucket(tokensBucket).Delete(append([]byte(nil), key...))
				return r.journal.Append(ctx, tx, journal.Fact{Name: "token.revoked", Entity: "token", ID: id})
			}
		}
		return fault.Missing("token", id)
	})
}
