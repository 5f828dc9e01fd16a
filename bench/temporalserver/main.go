// Command temporalserver runs a Temporal server, all of its services in one
// process, over Postgres: for measuring against the server that production has,
// which the development server with SQLite is not. It is a module of its own,
// because a server has many dependencies that finobs has no use for.
//
//	temporalserver -database postgres://postgres:…@127.0.0.1:5432/postgres -port 7233
//
// It makes the databases temporal and temporal_visibility, and the namespace
// default. It listens on the loopback only. FINOBS_PPROF_ADDRESS is where it serves its
// profiles, as finobs does; by default nowhere.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	_ "net/http/pprof" // serves profiles
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/temporal"
	"go.temporal.io/server/tools/sql"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	loopback = "127.0.0.1"
	// shards and connections suit one machine with a few cores.
	shards      = 32
	connections = 40
	retention   = 24 * time.Hour
	readyWithin = time.Minute
)

func main() {
	database := flag.String("database", "", "address of Postgres, as a superuser: postgres://user:password@host:port/database")
	port := flag.Int("port", 7233, "port of the frontend, on the loopback")
	flag.Parse()
	if profiled := os.Getenv("FINOBS_PPROF_ADDRESS"); profiled != "" {
		go func() { fmt.Fprintln(os.Stderr, "temporalserver:", http.ListenAndServe(profiled, nil)) }() //nolint:gosec // for a benchmark, on the loopback
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := serve(ctx, *database, *port)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "temporalserver:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, database string, port int) error {
	address, err := url.Parse(database)
	if err != nil || address.Port() == "" || address.User == nil {
		return errors.New("-database must be like postgres://user:password@host:port/database")
	}
	for name, schema := range map[string]string{"temporal": "postgresql/v12/temporal", "temporal_visibility": "postgresql/v12/visibility"} {
		if err := prepare(address, name, schema); err != nil {
			return fmt.Errorf("preparing database %s: %w", name, err)
		}
	}
	c, err := configuration(address, port)
	if err != nil {
		return err
	}
	server, err := temporal.NewServer(
		temporal.ForServices(temporal.DefaultServices), temporal.WithConfig(c), temporal.WithLogger(log.NewZapLogger(log.BuildZapLogger(log.Config{Stdout: true, Level: "error"}))),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()), temporal.WithDynamicConfigClient(dynamic()),
	)
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer server.Stop()
	if err := namespace(ctx, port); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return nil
}

// dynamic lets one client make as many calls as it can: a namespace is limited to
// 2,400 a second otherwise, and what is measured is not that limit.
func dynamic() dynamicconfig.StaticClient {
	return dynamicconfig.StaticClient{
		dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key(): 100_000,
		dynamicconfig.FrontendRPS.Key():                        100_000,
	}
}

// prepare makes a database and its schema, as temporal-sql-tool does it; a failure
// ends the process there, with a message.
func prepare(address *url.URL, database, schema string) error {
	password, _ := address.User.Password()
	common := []string{
		"temporal-sql-tool", "--plugin", postgresql.PluginNamePGX, "--endpoint", address.Hostname(), "--port", address.Port(),
		"--user", address.User.Username(), "--password", password, "--database", database,
	}
	for _, step := range [][]string{
		{"create-database"}, {"setup-schema", "--version", "0.0"}, {"update-schema", "--schema-name", schema},
	} {
		if err := sql.RunTool(append(common[:len(common):len(common)], step...)); err != nil {
			return fmt.Errorf("%s: %w", step[0], err)
		}
	}
	return nil
}

func configuration(address *url.URL, port int) (*config.Config, error) {
	password, _ := address.User.Password()
	store := func(database string) config.DataStore {
		return config.DataStore{SQL: &config.SQL{
			PluginName: postgresql.PluginNamePGX, DatabaseName: database, ConnectAddr: address.Host, ConnectProtocol: "tcp",
			User: address.User.Username(), Password: password, MaxConns: connections, MaxIdleConns: connections, MaxConnLifetime: time.Hour,
		}}
	}
	frontend := net.JoinHostPort(loopback, fmt.Sprint(port))
	c := &config.Config{
		Global: config.Global{Membership: config.Membership{MaxJoinDuration: 30 * time.Second, BroadcastAddress: loopback}},
		Persistence: config.Persistence{
			DefaultStore: "default", VisibilityStore: "visibility", NumHistoryShards: shards,
			DataStores: map[string]config.DataStore{"default": store("temporal"), "visibility": store("temporal_visibility")},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10, MasterClusterName: "active", CurrentClusterName: "active",
			ClusterInformation: map[string]cluster.ClusterInformation{"active": {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend}},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		PublicClient:        config.PublicClient{HostPort: frontend},
		Archival: config.Archival{
			History: config.HistoryArchival{State: config.ArchivalDisabled}, Visibility: config.VisibilityArchival{State: config.ArchivalDisabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: config.ArchivalDisabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: config.ArchivalDisabled},
		}},
		Services: map[string]config.Service{},
	}
	for _, name := range temporal.DefaultServices {
		rpc := config.RPC{BindOnLocalHost: true, GRPCPort: port}
		var err error
		if name != "frontend" {
			if rpc.GRPCPort, err = freePort(); err != nil {
				return nil, err
			}
		}
		if rpc.MembershipPort, err = freePort(); err != nil {
			return nil, err
		}
		c.Services[name] = config.Service{RPC: rpc}
	}
	return c, nil
}

// freePort finds a port that nobody listens on. The server keeps the ports of its
// members in columns of 16 bits with a sign.
func freePort() (int, error) {
	const from, upTo = 20_000, math.MaxInt16
	for range 100 {
		port := from + rand.IntN(upTo-from)
		l, err := net.Listen("tcp", net.JoinHostPort(loopback, fmt.Sprint(port)))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, errors.New("no port between 20000 and 32767 is free")
}

// namespace registers the namespace default, as soon as the frontend answers.
func namespace(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		err := register(ctx, port)
		var exists *serviceerror.NamespaceAlreadyExists
		if err == nil || errors.As(err, &exists) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("registering the namespace: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func register(ctx context.Context, port int) error {
	c, err := client.NewNamespaceClient(client.Options{HostPort: net.JoinHostPort(loopback, fmt.Sprint(port))})
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Register(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: "default", WorkflowExecutionRetentionPeriod: durationpb.New(retention),
	})
}
