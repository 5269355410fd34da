// The OTLP receiver of the OpenTelemetry Collector, alone: what it takes it writes to a file, one JSON line for each
// request. Built and used by `cargo xtask otlp`, so that what a node sends is judged by somebody else's code.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:4318", "where to listen")
	path := flag.String("file", "spans.json", "where to write")
	cert := flag.String("cert", "", "certificate in PEM")
	key := flag.String("key", "", "its key in PEM")
	flag.Parse()

	file, err := os.Create(*path)
	check(err)
	var mutex sync.Mutex
	write := func(_ context.Context, traces ptrace.Traces) error {
		line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(traces)
		if err != nil {
			return err
		}
		mutex.Lock()
		defer mutex.Unlock()
		_, err = file.Write(append(line, '\n'))
		return err
	}
	next, err := consumer.NewTraces(write)
	check(err)

	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	server := confighttp.NewDefaultServerConfig()
	server.NetAddr.Endpoint = *listen
	if *cert != "" {
		server.TLS = configoptional.Some(configtls.ServerConfig{
			Config: configtls.Config{CertFile: *cert, KeyFile: *key},
		})
	}
	config.Protocols.HTTP = configoptional.Some(otlpreceiver.HTTPConfig{
		ServerConfig:  server,
		TracesURLPath: "/v1/traces",
	})
	receiver, err := factory.CreateTraces(context.Background(), receivertest.NewNopSettings(factory.Type()), config, next)
	check(err)
	check(receiver.Start(context.Background(), componenttest.NewNopHost()))

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	check(receiver.Shutdown(context.Background()))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
