// Small programs on client-go, Kubernetes' own library, for podrun's tests: one binary, a word says which.
//
// Each prints one JSON object a line on standard output, which the test reads, and ends with 0, or says on standard
// error what went wrong and ends with 1.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

var programs = map[string]func(ctx context.Context, config *rest.Config, words []string) error{
	"informers": informers,
	"leader":    leader,
	"apply":     apply,
	"cbor":      cbor,
	"tour":      tour,
	"events":    events,
	"exec":      execute,
	"forward":   forward,
}

func main() {
	protobuf := flag.Bool("protobuf", false, "speak protobuf where the server does")
	flag.Parse()
	if err := run(*protobuf, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(protobuf bool, words []string) error {
	if len(words) == 0 || programs[words[0]] == nil {
		return errors.New("which program?")
	}
	config, err := configuration()
	if err != nil {
		return err
	}
	config.QPS, config.Burst = -1, 0 // no waiting of the client's own
	if protobuf {
		config.ContentType = runtime.ContentTypeProtobuf
		config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return programs[words[0]](ctx, config, words[1:])
}

// configuration is what any program of a user's does: the pod's own inside a pod, else the kubeconfig.
func configuration() (*rest.Config, error) {
	config, err := rest.InClusterConfig()
	if !errors.Is(err, rest.ErrNotInCluster) {
		return config, err
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
}

type line map[string]any

var printing sync.Mutex

func say(what line) {
	printing.Lock()
	defer printing.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(what); err != nil {
		os.Exit(1) // nobody listens any more
	}
}
