package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
)

// execute runs a command with this program's standard input: exec spdy|websocket|fallback NAMESPACE POD COMMAND...
func execute(ctx context.Context, config *rest.Config, words []string) error {
	way, namespace, pod, command := words[0], words[1], words[2], words[3:]
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	asked := client.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: command, Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	overSpdy, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, asked.URL())
	if err != nil {
		return err
	}
	overWebSocket, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, asked.URL().String())
	if err != nil {
		return err
	}
	either, err := remotecommand.NewFallbackExecutor(overWebSocket, overSpdy, httpstream.IsUpgradeFailure)
	if err != nil {
		return err
	}
	executor := map[string]remotecommand.Executor{"spdy": overSpdy, "websocket": overWebSocket, "fallback": either}[way]
	var out, complaints bytes.Buffer
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: os.Stdin, Stdout: &out, Stderr: &complaints})
	code := 0
	var exited exec.CodeExitError
	if errors.As(err, &exited) {
		code, err = exited.Code, nil
	}
	say(line{"stdout": out.String(), "stderr": complaints.String(), "code": code})
	return err
}

// forward forwards a port of its own choice and asks it twice over HTTP: forward spdy|websocket NAMESPACE POD PORT PATH.
func forward(_ context.Context, config *rest.Config, words []string) error {
	way, namespace, pod, port, path := words[0], words[1], words[2], words[3], words[4]
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	address := client.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return err
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, address)
	if way == "websocket" {
		if dialer, err = portforward.NewSPDYOverWebsocketDialer(address, config); err != nil {
			return err
		}
	}
	stop, ready, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var complaints bytes.Buffer
	forwarder, err := portforward.New(dialer, []string{"0:" + port}, stop, ready, io.Discard, &complaints)
	if err != nil {
		return err
	}
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case err := <-ended:
		return err
	case <-ready:
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return err
	}
	bodies := []string{}
	for range 2 {
		body, err := fetch(fmt.Sprintf("http://127.0.0.1:%d%s", ports[0].Local, path))
		if err != nil {
			return err
		}
		bodies = append(bodies, strings.TrimSpace(body))
	}
	close(stop)
	err = <-ended
	say(line{"bodies": bodies, "complaints": complaints.String()})
	return err
}

func fetch(url string) (string, error) {
	alone := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // a connection, so a stream, for each
	answer, err := alone.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}
