package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/api"
	"github.com/karov-crm/karov/appliance/bench"
	"github.com/karov-crm/karov/appliance/config"
	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/appliance/staff"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/appliance/transfer"
)

// measure runs the bench over a folder of its own: a temporary one, or keep, which must be new or empty.
func measure(ctx context.Context, log *slog.Logger, keep string, o bench.Options) (report bench.Report, err error) {
	folder := keep
	if folder == "" {
		if folder, err = os.MkdirTemp("", "karov-bench-"); err != nil {
			return report, fmt.Errorf("make a folder for the data: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	}
	c := config.Default()
	c.Data, c.Plugins, c.PlainHTTP, c.Listen = filepath.Join(folder, "data"), filepath.Join(folder, "plugins"), true, "127.0.0.1:0"
	file := filepath.Join(folder, "karov.yaml")
	if err := os.MkdirAll(c.Plugins, 0o700); err != nil {
		return report, fmt.Errorf("make a folder for the data: %w", err)
	}
	if err := os.WriteFile(file, []byte(c.YAML()), 0o600); err != nil {
		return report, fmt.Errorf("write the bench's configuration: %w", err)
	}
	program, err := os.Executable()
	if err != nil {
		return report, fmt.Errorf("find this program: %w", err)
	}
	o.Folder = c.Data
	m := &measured{config: c, log: log}
	o.Open = m.open
	o.Serve = func(address string) *exec.Cmd {
		return exec.Command(program, "serve", "--config", file, "--listen", address)
	}
	return bench.Run(ctx, o)
}

// measured is the office that is measured. Its owner and his token live as long as the folder.
type measured struct {
	config config.Config
	log    *slog.Logger
	owner  access.Actor
	token  string
}

// open opens the rooms as serve does, with the bench's ear between them and the engine.
func (m *measured) open(ctx context.Context) (o *bench.Office, err error) {
	if err := os.MkdirAll(m.config.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	a := &appliance{config: m.config, log: m.log, now: time.Now, since: time.Now()}
	engine, err := bolt.OpenFormat(ctx, m.config.DataFile(snapshot.StoreFile), a.migrations(), a.tellMigration)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, engine.Close())
		}
	}()
	writes := bench.NewWrites(engine)
	a.db = writes
	if err := a.groundAndFirst(ctx); err != nil {
		return nil, err
	}
	if err := a.rooms(); err != nil {
		return nil, err
	}
	if err := m.identify(access.WithActor(ctx, access.Appliance()), a); err != nil {
		return nil, err
	}
	programs, err := a.programs(api.Limits{PerSecond: 1e9, Burst: 1e9}, nil, ctx.Done()) // it asks as fast as it can
	if err != nil {
		return nil, err
	}
	return &bench.Office{Engine: engine, Writes: writes, Book: a.book, Contacts: a.contacts, Gate: a.gate, Owner: m.owner,
		API: programs, Token: m.token, Close: engine.Close,
		Import: func(ctx context.Context, file *os.File) (int, error) {
			result, err := transfer.Import(ctx, file, transfer.Options{Name: file.Name(), Region: a.config.Country}, a.transfer)
			return result.Created, err
		}}, nil
}

// identify makes the owner and his token once.
func (m *measured) identify(ctx context.Context, a *appliance) error {
	if m.token != "" {
		return nil
	}
	owner, err := a.staff.Add(ctx, staff.Draft{Email: "owner@karov.example", Name: "Owner", Lang: "he", Role: access.Owner, Password: "measured by karov bench"})
	if err != nil {
		return err
	}
	m.owner = owner.Actor()
	m.token, _, err = a.staff.CreateToken(ctx, owner.ID, "bench")
	return err
}
