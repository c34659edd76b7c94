// Command catalog serves the bookstore's list of books over HTTP: GET /books and GET /healthz.
//
// It listens on $PORT (8080), logs one JSON object per line to stdout, and ends with 0 on SIGTERM once the requests
// in flight are answered.
package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// drainTime is how long requests in flight may take after SIGTERM: less than Kubernetes' grace period of 30 s.
const drainTime = 20 * time.Second

func main() {
	logger := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	if err := run(net.JoinHostPort("", port), logger); err != nil {
		logger.Error("catalog failed", "error", err.Error())
		os.Exit(1)
	}
}

// run serves until SIGTERM or SIGINT.
func run(address string, logger *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           logged(logger, routes(newShelf())),
		ReadHeaderTimeout: 5 * time.Second,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	logger.Info("catalog listening", "address", listener.Addr().String())

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop() // a second signal ends the process at once
	logger.Info("catalog stopping", "drain", drainTime.String())
	draining, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := server.Shutdown(draining); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	logger.Info("catalog stopped")
	return nil
}
