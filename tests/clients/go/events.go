package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	eventsrecord "k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/record"
)

// events records an event thrice in the old way and thrice in the new one, both of which count repetitions with
// patches: events NAMESPACE.
func events(ctx context.Context, config *rest.Config, words []string) error {
	namespace := words[0]
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	about, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
	if err != nil {
		return err
	}
	old := record.NewBroadcaster(record.WithContext(ctx))
	old.StartRecordingToSink(&typedcore.EventSinkImpl{Interface: client.CoreV1().Events(namespace)})
	defer old.Shutdown()
	recent := eventsrecord.NewBroadcaster(&eventsrecord.EventSinkImpl{Interface: client.EventsV1()})
	if err := recent.StartRecordingToSinkWithContext(ctx); err != nil {
		return err
	}
	defer recent.Shutdown()
	recorder := old.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "tests"})
	reporter := recent.NewRecorder(scheme.Scheme, "podrun.test/clients")
	for range 3 {
		recorder.Event(about, corev1.EventTypeNormal, "Old", "it happened")
		reporter.Eventf(about, nil, corev1.EventTypeNormal, "New", "Testing", "it happened")
	}
	deadline := time.Now().Add(15 * time.Second)
	for {
		found, err := client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
			FieldSelector: "involvedObject.name=" + about.Name,
		})
		if err != nil {
			return err
		}
		counts := map[string]int32{}
		for _, event := range found.Items {
			counts[event.Reason] = event.Count
			if event.Series != nil {
				counts[event.Reason] = event.Series.Count
			}
		}
		if counts["Old"] == 3 && counts["New"] >= 2 {
			say(line{"counted": counts, "events": len(found.Items)})
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("counted only %v", counts)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
