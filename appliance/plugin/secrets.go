package plugin

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

const (
	// secretsBucket holds what plugins must not store themselves: id NUL name to the sealed value.
	secretsBucket = "plugin.secrets"

	maxSecret  = 16 << 10
	maxSecrets = 100
	maxSigned  = 1 << 20
	maxSetting = 100
)

// Secret gives a secret of a plugin, NotFound where there is none.
func (s *StoredSettings) Secret(ctx context.Context, id, name string) (value []byte, err error) {
	err = s.db.View(ctx, func(tx store.Tx) error {
		key := kept(id, []byte(name))
		sealed := tx.Bucket(secretsBucket).Get(key)
		if sealed == nil {
			return fault.New(fault.NotFound, "secret.not-found")
		}
		value, err = s.unseal(id, sealed, key)
		return err
	})
	return value, err
}

// SetSecret keeps a secret of a plugin; an empty value takes it away.
func (s *StoredSettings) SetSecret(ctx context.Context, id, name string, value []byte) error {
	key := kept(id, []byte(name))
	sealed, err := s.sealed(value, key)
	if err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx store.Tx) error {
		bucket := tx.Bucket(secretsBucket)
		if len(value) == 0 {
			bucket.Delete(key)
			return nil
		}
		n, all := 0, kept(id, nil)
		for range bucket.Scan(all, store.PrefixEnd(all), false) {
			n++
		}
		if n >= maxSecrets && bucket.Get(key) == nil {
			return fault.New(fault.TooLarge, "secret.too-many", "limit", maxSecrets)
		}
		bucket.Put(key, sealed)
		return nil
	})
}

// sealed encrypts a value, so that it opens under its own key only.
func (s *StoredSettings) sealed(value, key []byte) ([]byte, error) {
	nonce := make([]byte, s.seal.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return s.seal.Seal(nonce, nonce, value, key), nil
}

func (s *StoredSettings) unseal(id string, sealed, key []byte) ([]byte, error) {
	n := s.seal.NonceSize()
	if len(sealed) < n {
		return nil, fault.New(fault.Invalid, "secret.unreadable", "plugin", id)
	}
	value, err := s.seal.Open(nil, sealed[:n], sealed[n:], key)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "secret.unreadable", "plugin", id)
	}
	return value, nil
}

// begin gives a call its actor and refuses a name that is none.
func (s secretsService) begin(ctx context.Context, name string) (context.Context, error) {
	ctx, err := s.c.begin(ctx)
	switch {
	case err != nil:
		return nil, err
	case s.c.s.p.host.o.Secrets == nil:
		return nil, fault.New(fault.Unavailable, "plugin.service-absent")
	case len(name) > maxSetting || !settingForm.MatchString(name):
		return nil, fault.InvalidField("name", "field.malformed")
	}
	return ctx, nil
}

// Set keeps a secret.
func (s secretsService) Set(ctx context.Context, r *wirev1.SecretSetRequest) (*wirev1.SecretSetResponse, error) {
	ctx, err := s.begin(ctx, r.GetName())
	if err == nil && len(r.GetValue()) > maxSecret {
		err = fault.InvalidField("value", "field.too-long", "limit", maxSecret)
	}
	if err == nil {
		err = s.c.s.p.host.o.Secrets.SetSecret(ctx, s.c.s.p.m.ID, r.GetName(), r.GetValue())
	}
	return replied(s.c, &wirev1.SecretSetResponse{}, err)
}

// Open gives a secret.
func (s secretsService) Open(ctx context.Context, r *wirev1.SecretOpenRequest) (*wirev1.SecretOpenResponse, error) {
	answer := &wirev1.SecretOpenResponse{}
	ctx, err := s.begin(ctx, r.GetName())
	if err == nil {
		answer.Value, err = s.c.s.p.host.o.Secrets.Secret(ctx, s.c.s.p.m.ID, r.GetName())
	}
	return replied(s.c, answer, err)
}

// MAC signs data with a secret, or with a secret setting.
func (s secretsService) MAC(ctx context.Context, r *wirev1.SecretMACRequest) (*wirev1.SecretMACResponse, error) {
	answer := &wirev1.SecretMACResponse{}
	ctx, err := s.begin(ctx, r.GetName())
	if err == nil && len(r.GetData()) > maxSigned {
		err = fault.InvalidField("data", "field.too-long", "limit", maxSigned)
	}
	var secret []byte
	if err == nil {
		secret, err = s.secretOrSetting(ctx, r.GetName())
	}
	if err == nil {
		sum := hmac.New(sha256.New, secret)
		sum.Write(r.GetData())
		answer.Mac = sum.Sum(nil)
	}
	return replied(s.c, answer, err)
}

func (s secretsService) secretOrSetting(ctx context.Context, name string) ([]byte, error) {
	o, m := s.c.s.p.host.o, s.c.s.p.m
	secret, err := o.Secrets.Secret(ctx, m.ID, name)
	if err == nil || fault.KindOf(err) != fault.NotFound || !m.IsSecret(name) {
		return secret, err
	}
	values, otherwise := o.Settings.PluginConfig(ctx, m.ID)
	if otherwise != nil {
		return nil, otherwise
	}
	if values[name] == "" {
		return nil, err
	}
	return []byte(values[name]), nil
}
