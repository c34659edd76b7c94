package main

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// cbor makes a ConfigMap with a client that prefers CBOR: its first try finds out, the second speaks JSON, as
// client-go means it: cbor NAMESPACE.
func cbor(ctx context.Context, config *rest.Config, words []string) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	maps := client.Resource(configMaps).Namespace(words[0])
	made := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "cbor"}, "data": map[string]any{"a": "1"},
	}}
	_, first := maps.Create(ctx, made, metav1.CreateOptions{})
	if _, err := maps.Create(ctx, made, metav1.CreateOptions{}); err != nil {
		return err
	}
	listed, err := maps.List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=cbor"})
	if err != nil {
		return err
	}
	say(line{"first": string(apierrors.ReasonForError(first)), "listed": len(listed.Items)})
	return nil
}
