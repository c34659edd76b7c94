package main

import (
	"context"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// leader stands for election until it is ended: leader NAMESPACE IDENTITY.
func leader(ctx context.Context, config *rest.Config, words []string) error {
	namespace, identity := words[0], words[1]
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	own := resourcelock.ResourceLockConfig{Identity: identity}
	lock, err := resourcelock.New(
		resourcelock.LeasesResourceLock, namespace, "elected", client.CoreV1(), client.CoordinationV1(), own)
	if err != nil {
		return err
	}
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock:            lock,
		LeaseDuration:   15 * time.Second,
		RenewDeadline:   10 * time.Second,
		RetryPeriod:     200 * time.Millisecond,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { say(line{"leads": identity}) },
			OnStoppedLeading: func() { say(line{"leads no more": identity}) },
			OnNewLeader:      func(name string) { say(line{"leader": name}) },
		},
	})
	return nil
}
