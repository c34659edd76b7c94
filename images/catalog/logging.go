package main

import (
	"log/slog"
	"net/http"
	"time"
)

// A recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(data []byte) (int, error) {
	n, err := r.ResponseWriter.Write(data)
	r.bytes += n
	return n, err
}

// logged writes a line for every request answered.
func logged(logger *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		seen := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		logger.Info("request",
			"method", r.Method,
			"path", r.URL.Path,
			"status", seen.status,
			"bytes", seen.bytes,
			"duration_us", time.Since(begun).Microseconds(),
			"client", r.RemoteAddr,
		)
	})
}
